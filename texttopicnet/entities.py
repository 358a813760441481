"""XML entities: a document that declares some wants its reader to expand them without end, or to
open another file.

Metadata and dumps are data and declare none; whatever does is refused before anything is expanded
or fetched.
"""

from lxml import etree

OPTIONS = {"resolve_entities": False, "no_network": True, "load_dtd": False}  # for lxml's parsers
EXPANSION = {
    etree.ErrorTypes.ERR_ENTITY_LOOP,
    etree.ErrorTypes.ERR_ENTITY_IS_EXTERNAL,
    114,
}  # 114: ERR_RESOURCE_LIMIT


def declared(element):
    """Whether the document of an lxml element declares entities, or has a DTD in another file."""
    info = element.getroottree().docinfo
    return bool(info.system_url) or (
        info.internalDTD is not None and any(True for _ in info.internalDTD.iterentities())
    )


def expanded(error):
    """Whether libxml2 itself stopped, with this XMLSyntaxError, at an attribute's entities: without
    end or from outside.
    """
    return error.code in EXPANSION and "entity" in str(error).lower()

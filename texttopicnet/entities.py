"""XML entities: a document can use them to make its reader expand text without end or open other
files.

Metadata and dumps declare none.  A document that does is refused before anything is expanded or
fetched.
"""

from lxml import etree

OPTIONS = {"resolve_entities": False, "no_network": True, "load_dtd": False}  # for lxml's parsers
RESOURCE_LIMIT = 114  # libxml2's ERR_RESOURCE_LIMIT, which lxml does not name
EXPANSION = {
    etree.ErrorTypes.ERR_ENTITY_LOOP,
    etree.ErrorTypes.ERR_ENTITY_IS_EXTERNAL,
    RESOURCE_LIMIT,
}


def declared(element: etree._Element) -> bool:
    """Whether the document of an lxml element declares entities, or has a DTD in another file."""
    info = element.getroottree().docinfo
    return bool(info.system_url) or (
        info.internalDTD is not None and any(True for _ in info.internalDTD.iterentities())
    )


def expanded(error: etree.XMLSyntaxError) -> bool:
    """Whether libxml2 stopped with this error at an entity in an attribute, which expands without
    end or comes from another file.
    """
    return error.code in EXPANSION and "entity" in str(error).lower()

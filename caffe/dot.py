"""Graphs in Graphviz's language, with pydot's methods and output, but without pydot.

The module has what `caffe.draw` needs and what scripts call on its graphs: to_string, create,
write, create_png, write_svg and so on.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable

from caffe.error import CaffeError
from caffe.whole_file import renamed_when_whole

KEYWORDS = {"graph", "subgraph", "digraph", "node", "edge", "strict"}
# a name that needs no quotes, or has them
PLAIN = re.compile(r'[A-Za-z_][A-Za-z0-9_]*|[0-9]+\.?[0-9]*|[0-9]*\.[0-9]+|".*"', re.DOTALL)
TEXT = ("dot", "gv", "raw")  # formats that are the text itself


def quoted(text: str) -> str:
    """A name or value as Graphviz reads it: quoted, unless it is plain or has quotes already."""
    text = str(text)
    if PLAIN.fullmatch(text) and text.lower() not in KEYWORDS:
        return text
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'


def _attributes(values: dict[str, str]):
    return (
        f" [{', '.join(f'{name}={quoted(value)}' for name, value in values.items())}]"
        if values
        else ""
    )


class Node:
    """A node; its name is also its label."""

    def __init__(self, name: str, **attributes: str):
        self.name, self.attributes = name, attributes

    def get_name(self) -> str:
        return quoted(self.name)

    def to_string(self) -> str:
        return f"{self.get_name()}{_attributes(self.attributes)};"


class Edge:
    """An edge from one node to another."""

    def __init__(self, src: Node, dst: Node, **attributes: str):
        self.src, self.dst, self.attributes = src, dst, attributes

    def get_source(self) -> str:
        return self.src.get_name()

    def get_destination(self) -> str:
        return self.dst.get_name()

    def to_string(self) -> str:
        return f"{self.get_source()} -> {self.get_destination()}{_attributes(self.attributes)};"


class Dot:
    """A directed graph.

    Parameters
    ----------
    graph_name : str
    **attributes
        The graph's attributes, such as ``rankdir="LR"``.
    """

    def __init__(self, graph_name: str = "G", graph_type: str = "digraph", **attributes: str):
        self.graph_name, self.graph_type, self.attributes = graph_name, graph_type, attributes
        self.nodes, self.edges = [], []

    def add_node(self, node: Node) -> None:
        self.nodes.append(node)

    def add_edge(self, edge: Edge) -> None:
        self.edges.append(edge)

    def get_name(self) -> str:
        return quoted(self.graph_name)

    def get_nodes(self) -> list[Node]:
        return list(self.nodes)

    def get_edges(self) -> list[Edge]:
        return list(self.edges)

    def to_string(self) -> str:
        """The graph in Graphviz's language."""
        rows = [f"{self.graph_type} {self.get_name()} {{"]
        rows += [f"{name}={quoted(value)};" for name, value in self.attributes.items()]
        rows += [part.to_string() for part in [*self.nodes, *self.edges]]
        return "\n".join([*rows, "}", ""])

    def create(self, prog: str = "dot", format: str = "ps") -> bytes:
        """The picture as bytes.

        Parameters
        ----------
        prog : str
            The Graphviz program that draws it.
        format : str
            dot, gv and raw are the text itself and need no program; png, svg, pdf and others are
            made by the program.

        Raises
        ------
        CaffeError
            The program is not installed, or it cannot make the format.
        """
        text = self.to_string().encode()
        if format in TEXT:
            return text
        program = shutil.which(prog)
        if program is None:
            raise CaffeError(
                f"drawing a net as {format} needs Graphviz's program `{prog}`, which is not"
                " installed; for .svg and .dot files, `caffe draw` does not need it"
            )
        done = subprocess.run([program, f"-T{format}"], input=text, capture_output=True)
        if done.returncode:
            message = " ".join(done.stderr.decode(errors="replace").split())
            raise CaffeError(f"{prog} cannot draw the net as {format}: {message}")
        return done.stdout

    def write(self, path: str, prog: str = "dot", format: str = "raw") -> bool:
        """Save the picture, by default the text; returns True, as pydot does."""
        picture = self.create(prog, format)
        with renamed_when_whole(os.fspath(path)) as temporary, open(temporary, "wb") as f:
            f.write(picture)
        return True

    def __getattr__(self, name: str) -> Callable[..., bytes | bool]:
        """create_png(), write_svg(path) and so on."""
        action, _, format = name.partition("_")
        if action == "create" and format:
            return lambda prog="dot": self.create(prog, format)
        if action == "write" and format:
            return lambda path, prog="dot": self.write(path, prog, format)
        raise AttributeError(name)

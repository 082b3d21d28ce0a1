"""GraphQL without a schema: a document is parsed by graphql-core, its fields are looked up in plain dictionaries.

A field is a value, or a function of the field's arguments that returns one. A dictionary may say its ``__typename``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import parse
from graphql.language import ast
from graphql.utilities import value_from_ast_untyped

Node = Mapping[str, Any]


class GraphError(Exception):
    """An answer that a client gets as GraphQL's error."""


def execute(document: str, variables: Mapping[str, Any], roots: Mapping[str, Node], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Answer a document with one operation.

    Args:
        document: A query or a mutation.
        variables: Its variables.
        roots: ``query`` and ``mutation`` → the fields at the top.
        kinds: Type → the interface it has, for fragments on interfaces.

    Raises:
        GraphError: There is no such field, or one of them says so.
    """
    parsed = parse(document, no_location=True)
    fragments = {part.name.value: part for part in parsed.definitions if isinstance(part, ast.FragmentDefinitionNode)}
    (operation,) = (part for part in parsed.definitions if isinstance(part, ast.OperationDefinitionNode))
    defaults = {
        one.variable.name.value: one.default_value and value_from_ast_untyped(one.default_value)
        for one in operation.variable_definitions or ()
    }
    asked = _Asked(fragments, {**defaults, **variables}, kinds)
    return asked.answer(roots[operation.operation.value], operation.selection_set)


def operation_name(document: str) -> str:
    """Return the name of a document's operation, or of its first field where it has none."""
    parsed = parse(document, no_location=True)
    (operation,) = (part for part in parsed.definitions if isinstance(part, ast.OperationDefinitionNode))
    first = operation.selection_set.selections[0]
    return operation.name.value if operation.name else getattr(first, "name", operation).value


def connection(items: Sequence[Any], node: Callable[[Any], Node], **more: Any) -> Callable[..., Node]:
    """Make a field of a list that is read in pages; a cursor is the number of items before the next page."""

    def page(first: int | None = None, after: str | None = None, **_: Any) -> Node:
        begin = int(after or 0)
        end = len(items) if first is None else min(begin + first, len(items))
        edges = [
            {"node": node(item), "cursor": str(place), "version": f"v{place}"}
            for place, item in enumerate(items[begin:end], start=begin + 1)
        ]
        info = {"__typename": "PageInfo", "endCursor": str(end), "hasNextPage": end < len(items)}
        return {"totalCount": len(items), "pageInfo": info, "edges": edges, **more}

    return page


@dataclass(frozen=True)
class _Asked:
    fragments: Mapping[str, ast.FragmentDefinitionNode]
    variables: Mapping[str, Any]
    kinds: Mapping[str, str]

    def answer(self, value: Any, selection: Any) -> Any:
        if value is None or selection is None:
            return value
        if isinstance(value, list | tuple):
            return [self.answer(one, selection) for one in value]
        found: dict[str, Any] = {}
        for field in self._fields(selection, value):
            key = (field.alias or field.name).value
            answered = self.answer(self._value(value, field), field.selection_set)
            earlier = found.get(key)
            # the same field asked for twice, other parts of it each time
            found[key] = {**earlier, **answered} if isinstance(earlier, dict) and isinstance(answered, dict) else answered
        return found

    def _value(self, parent: Node, field: ast.FieldNode) -> Any:
        name = field.name.value
        if name not in parent:
            raise GraphError(f'Cannot query field "{name}" on type "{parent.get("__typename", "?")}".')
        value = parent[name]
        arguments = {one.name.value: value_from_ast_untyped(one.value, self.variables) for one in field.arguments or ()}
        return value(**arguments) if callable(value) else value

    def _fields(self, selection: Any, parent: Node) -> Iterator[ast.FieldNode]:
        for part in selection.selections:
            if not self._wanted(part):
                continue
            if isinstance(part, ast.FieldNode):
                yield part
                continue
            fragment = self.fragments[part.name.value] if isinstance(part, ast.FragmentSpreadNode) else part
            if self._fits(fragment.type_condition, parent):
                yield from self._fields(fragment.selection_set, parent)

    def _wanted(self, part: Any) -> bool:
        for directive in part.directives or ():
            given = value_from_ast_untyped(directive.arguments[0].value, self.variables)
            if bool(given) != (directive.name.value == "include"):
                return False
        return True

    def _fits(self, condition: Any, parent: Node) -> bool:
        own = parent.get("__typename")
        return condition is None or own is None or condition.name.value in {own, self.kinds.get(own)}

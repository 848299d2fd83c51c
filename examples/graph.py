#!/usr/bin/env python3
"""The graph encoding of livescope's values in Python, from docs/protocol.md alone.

    examples/graph.py           tests itself
    examples/graph.py --echo    reads graphs, a line each, and writes what it understood

`read(text)` gives Python values, `write(value)` makes a graph of some. JavaScript has kinds that Python has not, and the
other way round; what stands for what is this:

    undefined           UNDEFINED                object                  dict with str keys
    NaN, infinities     float                    array                   list
    -0                  -0.0                     Map, Set                Map, Set: items in order, any keys
    number              int or float             Date                    Date: milliseconds, None if invalid
    BigInt              BigInt, an int           RegExp, Error, Handle   classes below
    ArrayBuffer         Buffer                   typed array, DataView   View of a Buffer
"""

import base64
import datetime
import json
import math
import sys


class Undefined:
    """The value undefined; a hole of an array is HOLE."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


UNDEFINED = Undefined("UNDEFINED")
HOLE = Undefined("HOLE")


class BigInt(int):
    """An int that was, or is to be, a BigInt."""


class NullPrototype(dict):
    """An object without prototype."""


class Record:
    """Something with fields, compared by them."""

    fields = ()

    def __init__(self, *values, **named):
        for field, value in zip(self.fields, values):
            setattr(self, field, value)
        for field, value in named.items():
            setattr(self, field, value)

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class Date(Record):
    fields = ("milliseconds",)


class RegExp(Record):
    fields = ("source", "flags", "last_index")


class Map(Record):
    fields = ("items",)


class Set(Record):
    fields = ("items",)


class Boxed(Record):
    fields = ("value",)


class Buffer(Record):
    fields = ("data",)


class View(Record):
    """A typed array or DataView: its class, its buffer, and where in that it lies; None for all of it."""

    fields = ("type", "buffer", "offset", "length")


class ArrayWithProperties(Record):
    fields = ("items", "properties")


class Error(Record):
    """What a graph tells of an error: type, name, message, stack, cause, errors, properties, as far as it has them."""

    fields = ("told",)


class Handle(Record):
    fields = ("handle_id", "type", "class_name", "preview", "arity")


VIEWS = {
    "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
    "BigInt64Array", "BigUint64Array", "Float16Array", "Float32Array", "Float64Array", "DataView",
}  # fmt: skip
SPECIAL = {-1: UNDEFINED, -2: HOLE, -3: math.nan, -4: math.inf, -5: -math.inf, -6: -0.0}
SPARSE = -7


def read(text):
    """The value of a graph. Two passes: empty containers first, so that they can hold each other."""
    nodes = json.loads(text)
    if isinstance(nodes, int):
        return SPECIAL[nodes]
    values = [empty(node) for node in nodes]

    def at(reference):
        return SPECIAL[reference] if reference < 0 else values[reference]

    # Buffers and arrays are what other nodes are made of, so these are finished after them.
    for node, value in zip(nodes, values):
        fill(node, value, at)
    return values[0]


def empty(node):
    if isinstance(node, dict):
        return {}
    if not isinstance(node, list):
        return node
    if not node or not isinstance(node[0], str):
        return [HOLE] * node[1] if node[:1] == [SPARSE] else []
    kind, *rest = node
    if kind == "BigInt":
        return BigInt(rest[0])
    if kind == "Date":
        return Date(milliseconds_of(rest[0]))
    if kind == "RegExp":
        return RegExp(*rest, *["", 0][len(rest) - 1 :])
    if kind == "ArrayBuffer":
        return Buffer(base64.b64decode(rest[0], validate=True))
    if kind == "Handle":
        return Handle(*rest, *["", "", "", "", 0][len(rest) :])
    if kind in VIEWS:
        return View(kind, None, *(rest[1:] or [None, None]))
    containers = {"Map": Map, "Set": Set, "Object": Boxed, "Error": Error, "Array": ArrayWithProperties}
    return NullPrototype() if kind == "null" else containers[kind]()


def fill(node, value, at):
    if isinstance(node, dict):
        value.update((key, at(reference)) for key, reference in node.items())
    elif isinstance(value, list):
        if node[:1] == [SPARSE]:
            for index, reference in zip(node[2::2], node[3::2]):
                value[index] = at(reference)
        else:
            value.extend(map(at, node))
    elif isinstance(value, Map):
        value.items = [(at(key), at(item)) for key, item in zip(node[1::2], node[2::2])]
    elif isinstance(value, Set):
        value.items = [at(item) for item in node[1:]]
    elif isinstance(value, NullPrototype):
        value.update((key, at(reference)) for key, reference in zip(node[1::2], node[2::2]))
    elif isinstance(value, Boxed):
        value.value = at(node[1])
    elif isinstance(value, View):
        value.buffer = at(node[1])
    elif isinstance(value, Error):
        value.told = at(node[1])
    elif isinstance(value, ArrayWithProperties):
        value.items, value.properties = at(node[1]), at(node[2])


def write(value):
    """A graph of a value. Objects are known by identity, so sharing and cycles are kept; no recursion."""
    nodes, known, waiting = [], {}, []

    def refer(item):
        number = special_of(item)
        if number is not None:
            return number
        if id(item) in known and not isinstance(item, (str, int, float, type(None))):
            return known[id(item)]
        known[id(item)] = len(nodes)
        nodes.append(None)
        waiting.append((len(nodes) - 1, item))
        return len(nodes) - 1

    root = refer(value)
    while waiting:
        index, item = waiting.pop()
        nodes[index] = node_of(item, refer)
    # Strings of Python may hold lone surrogates; ASCII escapes carry them.
    return json.dumps(nodes if root >= 0 else root, ensure_ascii=True, allow_nan=False)


def special_of(item):
    if item is UNDEFINED:
        return -1
    if item is HOLE:
        return -2
    if isinstance(item, float):
        if math.isnan(item):
            return -3
        if math.isinf(item):
            return -4 if item > 0 else -5
        if item == 0 and math.copysign(1, item) < 0:
            return -6
    return None


def node_of(item, refer):
    if isinstance(item, BigInt):
        return ["BigInt", str(int(item))]
    if item is None or isinstance(item, (str, bool, int, float)):
        return item
    if isinstance(item, NullPrototype):
        return ["null", *(part for key, member in item.items() for part in (key, refer(member)))]
    if isinstance(item, dict):
        return {key: refer(member) for key, member in item.items()}
    if isinstance(item, (list, tuple)):
        return [refer(member) for member in item]
    if isinstance(item, Date):
        return ["Date", iso_text(item.milliseconds)]
    if isinstance(item, RegExp):
        return ["RegExp", item.source, item.flags, item.last_index]
    if isinstance(item, Map):
        return ["Map", *(refer(part) for pair in item.items for part in pair)]
    if isinstance(item, Set):
        return ["Set", *map(refer, item.items)]
    if isinstance(item, Boxed):
        return ["Object", refer(item.value)]
    if isinstance(item, Buffer):
        return ["ArrayBuffer", base64.b64encode(item.data).decode()]
    if isinstance(item, View):
        place = [] if item.offset is None else [item.offset, item.length]
        return [item.type, refer(item.buffer), *place]
    if isinstance(item, Error):
        return ["Error", refer(item.told)]
    if isinstance(item, ArrayWithProperties):
        return ["Array", refer(item.items), refer(item.properties)]
    if isinstance(item, Handle):
        return ["Handle", item.handle_id]
    raise TypeError(f"{item!r} cannot be written as a graph")


def milliseconds_of(text):
    """Of a text as toISOString writes it. Years beyond Python's are counted in the 400 years that repeat."""
    if text == "":
        return None
    year, rest = (text[:7], text[7:]) if text[0] in "+-" else (text[:4], text[4:])
    cycles, within = divmod(int(year) - 2000, 400)
    moment = datetime.datetime.fromisoformat(f"{within + 2000}{rest[:-1]}+00:00")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(milliseconds=1) + cycles * 146_097 * 86_400_000


def iso_text(milliseconds):
    if milliseconds is None:
        return ""
    cycles, within = divmod(int(milliseconds), 146_097 * 86_400_000)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=within)
    year = moment.year + cycles * 400
    years = f"{year:04d}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06d}"
    return f"{years}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def samples():
    cycle = {"list": [1]}
    cycle["self"] = cycle
    shared = [BigInt(10**40)]
    buffer = Buffer(bytes(range(8)))
    return [
        None, True, 0, -1.5, "a\0\ud800\U0001f600", UNDEFINED, math.inf, -math.inf, BigInt(-1),
        [UNDEFINED, None, -math.inf, HOLE, 2], {"": 1, "__proto__": {"polluted": True}, "d": Date(0)},
        NullPrototype(a=[1]), Map([({"k": 1}, Set([BigInt(1)])), ("b", UNDEFINED)]),
        [Date(None), Date(8_640_000_000_000_000), Date(-62_198_755_200_000), Date(951_782_400_123)],
        [RegExp(r"a+\/", "gi", 3), Boxed("x")], [View("Uint8Array", buffer, 1, 3), View("Float64Array", buffer, None, None)],
        Error({"type": "TypeError", "message": "no", "cause": Error({"type": "Error", "message": "why"})}),
        ArrayWithProperties([1, 2], {"x": 3}), [shared, shared], cycle,
    ]  # fmt: skip


def test_by_itself():
    for value in samples():
        copy = read(write(value))
        if isinstance(value, dict) and value.get("self") is value:
            assert copy["self"] is copy and copy["list"] == [1]
        else:
            assert copy == value, (copy, value)
            assert type(copy) is type(value)
    first, second = read(write([[1]] * 2))
    assert first is second
    assert math.copysign(1, read("-6")) < 0 and math.isnan(read("[[-3]]")[0])
    deep = []
    for _ in range(100_000):
        deep = [deep]
    copy, levels = read(write(deep)), 0
    while copy:
        copy, levels = copy[0], levels + 1
    assert levels == 100_000
    # The example of docs/protocol.md.
    date, mapped, f, again = read(
        '[[1, 2, 3, 3], ["Date", "1970-01-01T00:00:00.000Z"], ["Map", 4, -1],'
        ' ["Handle", "8f14e45fceea167a", "function", "Function", "[Function: f]", 1], "a"]'
    )
    assert date == Date(0) and mapped == Map([("a", UNDEFINED)]) and f is again
    assert f == Handle("8f14e45fceea167a", "function", "Function", "[Function: f]", 1)


def main(arguments):
    if arguments == ["--echo"]:
        for line in sys.stdin:
            print(write(read(line)), flush=True)
    else:
        test_by_itself()
        print("ok    the encoding by itself")


if __name__ == "__main__":
    main(sys.argv[1:])

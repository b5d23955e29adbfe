"""Ways to spoil a file: bytes of any, lines of a header, nodes of a JSON tree, pickles, members of a zip.

Every choice comes from the generator that is handed in, so that a number gives the same input again. ``{outside}`` in a
value becomes a folder beside the sandbox: whatever is read or written there was the file's doing.
"""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import warnings
import zipfile
from pathlib import Path

NUMBERS = (0, -1, 1, 2, 3, 255, 65536, 2**31, -(2**31) - 1, 2**63, 10**30, 1e308, -1e308, 1e-320, 0.5, float("nan"),
           float("inf"), float("-inf"), True, None)
COMMAND = "touch {outside}/executed"
NAMES = (
    "torch.nn.parallel.distributed.os.system", "os.system", "posix.system", "builtins.eval", "builtins.exec",
    "subprocess.Popen", "torch.hub.load", "torch.nn.modules.module.functools.partial", "torch.nn.Sequential",
    "torch.nn.ReLU", "dynamic_network_architectures.architectures.unet.torch.hub.load", "recursive_find_python_class",
    "dynamic_network_architectures.architectures.unet.PlainConvUNet", "join", "np", "resample_torch_fornnunet",
    "nnunetv2.utilities.find_class_by_name.recursive_find_python_class", "ZScoreNormalization", "CTNormalization",
    "__import__('os').system('" + COMMAND + "')", "!!python/object/apply:os.system ['" + COMMAND + "']", COMMAND,
)
PATHS = ("../outside/secret.raw", "{outside}/secret.raw", "/etc/passwd", "/dev/zero", "/dev/stdin", "..", ".", "~",
         "\\\\host\\share\\x", "C:\\x", "%s%n%d", "a%09999999d 1 9 1", "%03d 0 99999999 1",
         "LIST\n{outside}/secret.raw", "link.raw", "data.raw", "file:///etc/passwd", "http://127.0.0.1:9/x")
ELSEWHERE = ("a/../../outside/written", "{outside}/written", "..\\outside\\written")
TEXTS = (*NAMES, *PATHS, "", " ", "x" * 3000, "\x00", "\ud800", "ä€", "\n\n", "true", "none", "(1,0)", "1 1", "gzip",
         "raw", "ascii", "bzip2", "RGB-color", "MET_DOUBLE", "block", "Lambda", "linear", "femur", "2 2 2 2 2")
BYTES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", struct.pack("<d", float("nan")),
         struct.pack("<f", 1e30), struct.pack("<h", -1), b"\x1f\x8b\x08", b"PK\x03\x04", b"../", b"\n", b"\x89HDF")
GLOBALS = (
    "posix system", "os system", "nt system", "builtins eval", "builtins exec", "builtins getattr",
    "builtins __import__", "subprocess Popen", "subprocess check_output", "torch.hub load", "torch load",
    "torch.serialization load", "pickle loads", "numpy load", "shutil rmtree", "pathlib Path.write_text",
    "importlib import_module", "runpy run_path", "nnunetv2.utilities.find_class_by_name recursive_find_python_class",
    "torch.storage UntypedStorage", "torch Tensor", "torch.nn.modules.linear Linear", "numpy dtype", "numpy ndarray",
    "numpy.core.multiarray _reconstruct", "numpy.core.multiarray scalar", "_codecs encode", "collections OrderedDict",
    "collections defaultdict", "collections Counter", "builtins bytearray", "builtins set", "torch Size",
    "torch device", "pathlib PosixPath", "datetime datetime", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", "torch.nn.parameter Parameter", "torch._tensor _rebuild_from_type_v2",
    "argparse Namespace",
)


def nasty(rng: random.Random) -> object:
    """A value that nobody expects: a number, a text or a small heap of either."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(NUMBERS)
    if kind < 0.8:
        return rng.choice(TEXTS)
    if kind < 0.9:
        return [rng.choice(NUMBERS) for _ in range(rng.randrange(5))]
    if kind < 0.97:
        return {rng.choice(TEXTS): rng.choice(NUMBERS)}
    value: object = 1
    for _ in range(rng.choice((5, 50, 2000))):
        value = [value]
    return value


def some_bytes(rng: random.Random, data: bytes, header: int = 10**9) -> bytes:
    """Bytes of the first ``header`` ones changed, cut out, doubled or set; sometimes the end is missing."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not result:
            break
        at, kind = rng.randrange(min(header, len(result))), rng.random()
        if kind < 0.35:
            result[at] = rng.randrange(256)
        elif kind < 0.5:
            result[at] ^= 1 << rng.randrange(8)
        elif kind < 0.65:
            some = rng.choice(BYTES)
            result[at:at + len(some)] = some
        elif kind < 0.75:
            result[at] = rng.choice(b"0123456789-+.eE() \n:=")
        elif kind < 0.85:
            del result[at:at + rng.randrange(1, 40)]
        elif kind < 0.95:
            result[at:at] = result[at:at + rng.randrange(1, 40)]
        else:
            del result[rng.randrange(len(result)):]
    return bytes(result)


def some_lines(rng: random.Random, data: bytes, header: int) -> bytes:
    """Values, lines and their order in the text at the file's beginning."""
    lines, rest = data[:header].split(b"\n"), data[header:]
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, kind = rng.randrange(len(lines)), rng.random()
        if kind < 0.6:
            mark = next((m for m in (b":=", b": ", b" = ") if m in lines[at]), b" ")
            key, _, value = lines[at].partition(mark)
            words = value.split(b" ")
            new = str(rng.choice(NUMBERS + TEXTS)).encode("utf-8", "surrogatepass")
            if rng.random() < 0.6:
                words[rng.randrange(len(words))] = new
            else:
                words = [new]
            lines[at] = key + mark + b" ".join(words)
        elif kind < 0.75:
            del lines[at]
            lines = lines or [b""]
        elif kind < 0.9:
            lines.insert(rng.randrange(len(lines)), lines[at])
        else:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines) + rest


def some_nodes(rng: random.Random, data: bytes) -> bytes:
    """Nodes of a JSON tree replaced, removed or doubled."""
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.75:
            parent[key] = nasty(rng) if rng.random() < 0.8 else rng.choice(places)[0]
            if parent[key] is parent or not _is_a_tree(tree):
                parent[key] = None
        elif kind < 0.9:
            del parent[key]
        elif isinstance(parent, list):
            parent.append(parent[key])
        else:
            parent[str(rng.choice(NUMBERS + TEXTS))[:80]] = parent[key]
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _places(tree: object) -> list[tuple]:
    found, heap, steps = [], [tree], 0
    while heap and steps < 20_000:
        node, steps = heap.pop(), steps + 1
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            heap.append(node[key])
    return found


def _is_a_tree(tree: object) -> bool:
    try:
        return len(json.dumps(tree)) < 10**6
    except (ValueError, RecursionError):
        return False


def _operand(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.4:
        text = rng.choice((COMMAND, "{outside}/executed", *TEXTS)).encode("utf-8", "replace")
        return b"X" + struct.pack("<I", len(text)) + text
    if kind < 0.6:
        return b"J" + struct.pack("<i", rng.choice((-1, 0, 1, 2**31 - 1, 1000)))
    if kind < 0.7:
        return rng.choice((b"N", b"\x88", b")", b"]", b"}"))
    if kind < 0.85:
        return b"c" + rng.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
    return b"(" + _operand(rng) + _operand(rng) + b"t"


def some_pickle(rng: random.Random, data: bytes) -> bytes:
    """A call of a global with made-up arguments before or instead of the content, a name replaced, or spoilt bytes."""
    kind = rng.random()
    if kind < 0.4:
        call = b"c" + rng.choice(GLOBALS).replace(" ", "\n").encode() + b"\n("
        call += b"".join(_operand(rng) for _ in range(rng.randrange(4))) + b"t" + rng.choice((b"R", b"R", b"\x81"))
        call += _operand(rng) + b"b" if rng.random() < 0.4 else b""
        return b"\x80\x02" + call + (b"0" + data[2:] if rng.random() < 0.8 else b".")
    if kind < 0.6:
        lines = data.split(b"\n")
        at = rng.randrange(max(1, len(lines) - 1))
        module, name = rng.choice(GLOBALS).encode().split(b" ")
        start = lines[at].rfind(b"c")
        if start >= 0 and at + 1 < len(lines):
            lines[at], lines[at + 1] = lines[at][:start + 1] + module, name
        return b"\n".join(lines)
    return some_bytes(rng, data)


def some_checkpoint(rng: random.Random, data: bytes) -> bytes:
    """A file that torch.save wrote: its pickle, one of its members, its bytes, or something else under its name."""
    kind = rng.random()
    if kind < 0.65:
        members = _members(data)
        for name in members:
            if name.endswith("data.pkl"):
                members[name] = some_pickle(rng, members[name])
        return _packed(rng, members)
    if kind < 0.75:
        return some_members(rng, data)
    if kind < 0.97:
        return some_bytes(rng, data, rng.choice((400, 10**9)))
    pickled = next(d for n, d in _members(data).items() if n.endswith("data.pkl"))
    return some_pickle(rng, pickled)


def some_members(rng: random.Random, data: bytes) -> bytes:
    """Members of a zip renamed, spoilt, doubled, linked, or swollen."""
    members = _members(data)
    output = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        warnings.simplefilter("ignore")  # of a name twice, which is meant
        for name, content in members.items():
            kind, entry, changed = rng.random(), zipfile.ZipInfo(name), content
            if kind < 0.15:
                entry.filename = rng.choice((*PATHS, *ELSEWHERE))
            elif kind < 0.25:
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                changed = rng.choice((b"{outside}", b"/etc/passwd", b"../../outside"))
            elif kind < 0.5:
                changed = some_bytes(rng, content)
            elif kind < 0.55:
                changed = bytes(rng.choice((2, 40)) * 2**20)
                entry.compress_type = zipfile.ZIP_DEFLATED
            elif kind < 0.6:
                continue
            entry.filename = entry.filename[:200].replace("\0", "0") or "x"
            try:
                archive.writestr(entry, changed, compresslevel=1)
            except (UnicodeEncodeError, ValueError):
                archive.writestr("x", changed)
    return some_bytes(rng, output.getvalue()) if rng.random() < 0.2 else output.getvalue()


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {m.filename: archive.read(m) for m in archive.infolist()}


def _packed(rng: random.Random, members: dict[str, bytes]) -> bytes:
    output, how = io.BytesIO(), zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(output, "w", how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return output.getvalue()


def point_outside(data: bytes, outside: Path) -> bytes:
    """``{outside}`` in a spoilt file as the folder's real name, where lengths that are stored beside it permit it."""
    return data.replace(b"{outside}", str(outside).encode())

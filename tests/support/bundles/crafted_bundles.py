"""Crafted parts of bundles, each with what is wrong with it: the name of a fault, or None where it is taken."""

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

SIDE = 8
"""Side of the frame and of the network's input of the bundles that are changed, pixels."""

Change = Callable[[dict[str, Any]], object]


GONE = object()


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in it; of a list, of its first item alone."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else list(enumerate(data))[:1] if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def put(data: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(data)
    at = changed
    for key in path[:-1]:
        at = at[key]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return dict(changed)


def odd_values(raw: Callable[[str], Any]) -> list[Any]:
    return [
        None, True, 0, -1, 1.5, "", [], {}, [1], {"a": "b"}, ["a"], [{}], GONE,
        raw("9223372036854775807"), raw("9223372036854775808"), raw("1" * 400),
        raw("1e400"), raw("NaN"), raw('"\\ud800"'), raw('"\\u0000"'),
    ]  # fmt: skip


def listed(path: str) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}


def refs(data: Any, path: str) -> list[dict[str, Any]]:
    """Find every mention of a file."""
    if isinstance(data, dict) and data.get("path") == path:
        return [data]
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [ref for value in inner for ref in refs(value, path)]


def every(path: str, **changes: Any) -> Change:
    """Change every mention of a file."""
    return lambda data: [ref.update(changes) for ref in refs(data, path)]


def frame(**changes: Any) -> Change:
    """Change the camera frame."""
    return lambda data: data["input"]["frame"].update(changes)


def network(**changes: Any) -> Change:
    """Change the network's input."""
    return lambda data: data["input"]["network"].update(changes)


def model(**changes: Any) -> Change:
    """Change the first model."""
    return lambda data: data["models"][0].update(changes)


def exam(**changes: Any) -> Change:
    """Change the rule of an examination."""
    return lambda data: data["exam"].update(changes)


def weights(sharpness: Any = (1,), confidence: Any = (0.5, 0.75), table: Any = ((0, 1, 2), (1, 2, 255))) -> Change:
    """Weigh the frames of an examination."""
    lists = [[*values] if isinstance(values, tuple) else values for values in (sharpness, confidence)]
    rows = [[*row] if isinstance(row, tuple) else row for row in table] if isinstance(table, tuple) else table
    return exam(weights={"sharpness_edges": lists[0], "confidence_edges": lists[1], "table": rows})


def without_guard(change: Change) -> Change:
    """Change a bundle that has no guard."""
    return lambda data: (data.update(guard=None), change(data))


def more_files(path: str) -> Change:
    """List one more file."""
    return lambda data: data["files"].append(listed(path))


def fill(data: dict[str, Any], count: int) -> None:
    """List files that are not there, until there are so many."""
    data["files"].extend(listed(f"f/{i}") for i in range(count - len(data["files"])))


def twice(items: list[Any], which: int) -> None:
    """Add an item once more."""
    items.append(items[which])


MANIFESTS: dict[str, tuple[str | None, Change]] = {
    "as it was": (None, lambda data: None),
    "no version": (None, lambda data: data.pop("version")),
    "the largest version": (None, lambda data: data.update(version=(1 << 63) - 1)),
    "a version over 63 bits": ("format", lambda data: data.update(version=1 << 63)),
    "no format": ("format", lambda data: data.pop("schema_version")),
    "format 0": ("format", lambda data: data.update(schema_version=0)),
    "format -1": ("format", lambda data: data.update(schema_version=-1)),
    "format 2": ("newer", lambda data: data.update(schema_version=2, novelty=1)),
    "a far newer format": ("newer", lambda data: data.update(schema_version=1 << 40)),
    "no guard": (None, lambda data: data.update(guard=None)),
    "no guard, no key": (None, lambda data: data.pop("guard")),
    "no threshold": ("format", lambda data: data["operating_point"].pop("confidence_threshold")),
    "no refused labels": (None, lambda data: data["operating_point"].pop("non_gradeable_labels")),
    "a label refused twice": (None, lambda data: data["operating_point"].update(non_gradeable_labels=["wax", "wax"])),
    "a refused label that is none": ("format", lambda data: data["operating_point"].update(non_gradeable_labels=["w"])),
    "no rule of an examination": ("format", lambda data: data.pop("exam")),
    "a rule that is null": ("format", lambda data: data.update(exam=None)),
    "a rule of one key more": ("format", exam(more=1)),
    **{
        f"a rule without {key}": ("format", lambda data, key=key: data["exam"].pop(key))
        for key in (
            *("evidence", "top_k", "rank", "weights", "scale", "duplicate_distance", "min_frames", "max_frames"),
            *("stop_lead", "confidence_threshold"),
        )
    },
    **{
        f"a rule with {key} = {value}": (None, exam(**{key: value}))
        for key, value in (
            *(
                ("evidence", "vote"),
                ("top_k", 32),
                ("rank", "confidence"),
                ("scale", 1),
                ("scale", 1e-300),
                ("scale", 1000.0),
            ),
            *(("duplicate_distance", None), ("duplicate_distance", 0), ("duplicate_distance", 1e30), ("min_frames", 1024)),
            *(("max_frames", 1), ("max_frames", 65535), ("stop_lead", None), ("stop_lead", 0)),
            *(("stop_lead", 65535 * 255 << 20), ("confidence_threshold", 0), ("confidence_threshold", 1.0)),
        )
    },
    **{
        f"a rule with {key} = {value}, which it is not": ("format", exam(**{key: value}))
        for key, value in (
            *(("evidence", "votes"), ("evidence", None), ("top_k", 33), ("top_k", -1), ("top_k", 1.0), ("rank", "quality")),
            *(("scale", 0), ("scale", -1.0), ("scale", 1000.001), ("scale", None), ("scale", True)),
            *(("duplicate_distance", -1e-300), ("duplicate_distance", 1.1e30), ("duplicate_distance", "1")),
            *(("min_frames", 0), ("min_frames", 1025), ("max_frames", 0), ("max_frames", 65536), ("max_frames", 1 << 40)),
            *(("stop_lead", -1), ("stop_lead", (65535 * 255 << 20) + 1), ("stop_lead", 1.5)),
            *(("confidence_threshold", -0.1), ("confidence_threshold", 1.0000001), ("confidence_threshold", None)),
            *(("weights", []), ("weights", {}), ("weights", 1)),
        )
    },
    "weights": (None, weights()),
    "weights by sharpness alone": (None, weights(confidence=(), table=((0,), (1,)))),
    "weights by nothing": (None, weights((), (), ((1,),))),
    "weights of 7 edges": (None, weights((), tuple(range(7)), ((1,) * 8,))),
    "weights of 8 edges": ("format", weights((), tuple(range(8)), ((1,) * 9,))),
    "weights whose edges do not rise": ("format", weights(confidence=(0.5, 0.5))),
    "weights whose edges are words": ("format", weights(sharpness=("1",))),
    "weights whose edges are a number": ("format", weights(sharpness=1)),
    "weights of a row too few": ("format", weights(table=((0, 1, 2),))),
    "weights of a row too long": ("format", weights(table=((0, 1, 2), (1, 2, 3, 4)))),
    "weights of a row that is a number": ("format", weights(table=((0, 1, 2), 1))),
    "weights of which one is 256": ("format", weights(table=((0, 1, 2), (1, 2, 256)))),
    "weights of which one is below 0": ("format", weights(table=((0, 1, 2), (1, 2, -1)))),
    "weights of which one has a fraction": ("format", weights(table=((0, 1, 2), (1, 2, 1.0)))),
    "weights of which all are 0": ("format", weights(table=((0, 0, 0), (0, 0, 0)))),
    "weights with one key more": (
        "format",
        lambda data: (weights()(data), data["exam"]["weights"].update(more=1)),
    ),
    "weights without a table": ("format", lambda data: (weights()(data), data["exam"]["weights"].pop("table"))),
    "the sharpest frames without a guard": ("format", without_guard(exam(top_k=1))),
    "the surest frames without a guard": (None, without_guard(exam(top_k=1, rank="confidence"))),
    "repeated frames without a guard": ("format", without_guard(exam(duplicate_distance=0))),
    "weights by sharpness without a guard": ("format", without_guard(weights())),
    "weights by confidence without a guard": (None, without_guard(weights((), (0.5,), ((1, 2),)))),
    "equal labels": ("format", lambda data: data.update(labels=["normal", "wax", "normal"])),
    "labels that differ in case": (None, lambda data: data.update(labels=["normal", "wax", "Normal"])),
    "an empty label": ("format", lambda data: data.update(labels=["normal", "wax", ""])),
    "a label of 127 bytes": (None, lambda data: data.update(labels=["wax", "ä" * 63 + "b", "c"])),
    "a label of 128 bytes": ("limit", lambda data: data.update(labels=["wax", "ä" * 64, "c"])),
    "1024 labels": (None, lambda data: data.update(labels=["wax", *map(str, range(1023))])),
    "1025 labels": ("limit", lambda data: data.update(labels=["wax", *map(str, range(1024))])),
    "a label beyond the first plane": (None, lambda data: data.update(labels=["wax", "\U0001f642", "\uffff"])),
    "a name of 127 bytes": (None, lambda data: data.update(name="n" * 127)),
    "a name of 128 bytes": ("limit", lambda data: data.update(name="n" * 128)),
    "a device of 128 bytes": ("limit", lambda data: data.update(device="ü" * 64)),
    "another target": ("format", lambda data: data.update(target="phone")),
    "another precision of the graph": ("format", lambda data: data.update(onnx_precision="fp16")),
    "no precision of the graph": (None, lambda data: data.pop("onnx_precision")),
    "a frame of no height": ("format", frame(height=0)),
    "a frame of negative height": ("format", frame(height=-1)),
    "a frame of 8192 pixels": (None, frame(height=8192)),
    "a frame of 8193 pixels": ("limit", frame(width=8193)),
    "a network's input of 8193 pixels": ("limit", network(height=8193)),
    "a network's input of 2^40 pixels": ("limit", network(width=1 << 40)),
    "a network's input of no width": ("format", network(width=0)),
    "a whole number with a fraction": ("format", network(height=8.0)),
    "another crop": ("format", frame(crop="left")),
    "another crop, no guard": ("format", lambda data: (data["input"]["frame"].update(crop="left"), data.update(guard=None))),
    "the whole frame": (None, frame(crop="stretch")),
    "a resize by a filter": (None, frame(resize="antialiased_bicubic", scaled_size=[SIDE, SIDE])),
    "a resize by area": (None, frame(resize="area")),
    "no frame": ("format", lambda data: data["input"].pop("frame")),
    "no network's input": ("format", lambda data: data["input"].pop("network")),
    "a side of the network beside the frame's": ("format", frame(size=8)),
    "a crop that is named": (None, frame(crop_size=[SIDE - 2, SIDE - 5])),
    "a crop that is not named": (None, frame(crop_size=None, scaled_size=None)),
    "a crop of no height": ("format", frame(crop_size=[0, SIDE])),
    "a crop larger than the frame": ("format", frame(crop_size=[SIDE, SIDE + 1])),
    "a crop of one side": ("format", frame(crop_size=[SIDE])),
    "a crop of three sides": ("format", frame(crop_size=[SIDE] * 3)),
    "a crop in words": ("format", frame(crop_size=["3", "3"])),
    "a crop with a fraction": ("format", frame(crop_size=[3.0, 3.0])),
    "a crop that is no list": ("format", frame(crop_size=3)),
    "a frame scaled to more than the network's input": (None, frame(scaled_size=[SIDE + 2, SIDE])),
    "a frame scaled to less than the network's input": ("format", frame(scaled_size=[SIDE, SIDE - 1])),
    "a frame scaled to 8193 pixels": ("limit", frame(scaled_size=[8193, SIDE])),
    "another resize": ("format", frame(resize="nearest")),
    "no resize": (None, lambda data: data["input"]["frame"].pop("resize")),
    "two means": ("format", network(mean=[0, 0])),
    "means in words": ("format", network(mean=["0", "0", "0"])),
    "deviations of which one is true": ("format", network(std=[1, 1, True])),
    "means that are whole": (None, network(mean=[0, 1, -1])),
    "a tolerance of half": (None, model(tolerance=0.5)),
    "a tolerance of 0": (None, model(tolerance=0)),
    "a tolerance of more": ("format", model(tolerance=0.5000001)),
    "a tolerance below 0": ("format", model(tolerance=-1e-9)),
    "a tolerance in words": ("format", model(tolerance="0.1")),
    "no tolerance": ("format", model(tolerance=None)),
    "no predictions that are expected": ("format", model(expected=None)),
    "neither": ("format", model(expected=None, tolerance=None)),
    "a tolerance for all models": ("format", lambda data: data["selftest"].update(tolerance={})),
    "predictions for all models": ("format", lambda data: data["selftest"].update(expected=data["selftest"]["frames"])),
    "predictions that the list has not": ("listing", model(expected=listed("selftest/other.npy"))),
    "int8 layers among all": (None, model(int8_layers=3, layers=3)),
    "no layers at all": (None, model(int8_layers=0, layers=0)),
    "more int8 layers than layers": ("format", model(int8_layers=4, layers=3)),
    "int8 layers below 0": ("format", model(int8_layers=-1, layers=3)),
    "int8 layers of unknown many": ("format", model(int8_layers=3, layers=None)),
    "layers of which nobody asked": ("format", model(int8_layers=None, layers=3)),
    "layers with a fraction": ("format", model(int8_layers=1.0, layers=3)),
    "a model in another precision": ("format", model(precision="bf16", settings={})),
    "two models of one backend and precision": ("format", lambda data: twice(data["models"], 0)),
    "a model and a recipe of one backend and precision": (
        None,
        lambda data: data["models"].append({**data["models"][0], "kind": "recipe"}),
    ),
    "a model of another kind": ("format", model(kind="Model")),
    "a recipe": (None, model(kind="recipe")),
    "a recipe without predictions": ("format", model(kind="recipe", expected=None, tolerance=None)),
    "a preflight without files": (None, model(kind="preflight", files=[], expected=None, tolerance=None)),
    "a preflight with predictions": ("format", model(kind="preflight", files=[])),
    "a model without files": ("format", lambda data: data["models"][0].update(files=[])),
    "a model of five files": ("limit", lambda data: data["models"][0].update(files=data["files"][:5])),
    "a recipe of five files": (None, lambda data: data["models"][0].update(kind="recipe", files=data["files"][:5])),
    "a model that lists a graph twice": ("format", lambda data: twice(data["models"][0]["files"], 1)),
    "a model that lists its weights twice": ("format", lambda data: twice(data["models"][0]["files"], 0)),
    "a model that lists another file twice": (
        "format",
        lambda data: data["models"][0]["files"].extend([data["selftest"]["frames"]] * 2),
    ),
    "a model of two graphs": ("format", lambda data: data["models"][0]["files"].append(data["onnx"])),
    "float16 in fp16": (None, model(precision="fp16", settings={"INFERENCE_PRECISION_HINT": "f16"})),
    "float32 in fp16": (None, model(precision="fp16", settings={"INFERENCE_PRECISION_HINT": "f32"})),
    "float16 in int8": ("format", model(precision="int8", settings={"INFERENCE_PRECISION_HINT": "f16"})),
    "float16 in fp32": ("format", model(precision="fp32", settings={"INFERENCE_PRECISION_HINT": "f16"})),
    "no settings": (None, lambda data: data["models"][0].pop("settings")),
    "empty settings": (None, lambda data: data["models"][0].update(settings={})),
    **{
        f"the setting {name} = {value}": (
            "format",
            lambda data, name=name, value=value: data["models"][0]["settings"].update({name: value}),
        )
        for name, value in (
            ("CACHE_DIR", "/tmp/x"),
            ("INFERENCE_NUM_THREADS", "8"),
            ("CONFIG_FILE", "/etc/passwd"),
            ("PERFORMANCE_HINT", "LATENCY"),
            ("INFERENCE_PRECISION_HINT", "bf16"),
            ("inference_precision_hint", "f32"),
            ("", ""),
        )
    },
    "OpenVINO's setting for another": ("format", lambda data: data["models"][0].update(backend="onnxruntime")),
    "settings of numbers": ("format", lambda data: data["models"][0].update(settings={"INFERENCE_PRECISION_HINT": 32})),
    "settings of a recipe": ("format", lambda data: data["models"][0].update(kind="recipe", settings={"CACHE_DIR": "x"})),
    "a model of another schema": ("format", lambda data: data["models"][0].update(schema_version=2)),
    "a model without a schema": (None, lambda data: data["models"][0].pop("schema_version")),
    "a detail that is a number": ("format", lambda data: data["models"][0].update(detail=[1])),
    "a backend of 100 letters": (None, lambda data: data["models"][0].update(backend="b" * 100, settings={})),
    "no models": (None, lambda data: data.update(models=[])),
    "64 models": (
        None,
        lambda data: data["models"].extend([{**data["models"][0], "kind": "recipe"}] * (64 - len(data["models"]))),
    ),
    "65 models": ("limit", lambda data: data["models"].extend([{**data["models"][0], "kind": "recipe"}] * 64)),
    "no gates": (None, lambda data: data.update(gates=[])),
    "a gate that is a number": ("format", lambda data: data.update(gates=[1])),
    "a gate with more in it": ("format", lambda data: data["gates"][0].update(more=1)),
    "a gate with a bar in words": ("format", lambda data: data["gates"][0].update(limit="high")),
    "a gate of another verdict": ("format", lambda data: data["gates"][0].update(verdict="pass")),
    "versions that are numbers": ("format", lambda data: data.update(versions={"weckd-edge": 1})),
    "versions in a list": ("format", lambda data: data.update(versions=["0.1.0"])),
    "a file of another size": ("digest", every("model/model.bin", bytes=9)),
    "a file of another digest": ("digest", every("model/model.bin", sha256="1" * 64)),
    "a digest in capitals": ("format", every("model/model.bin", sha256="A" * 64)),
    "a digest of 63 digits": ("format", every("model/model.bin", sha256="a" * 63)),
    "a size below 0": ("format", every("model/model.bin", bytes=-1)),
    "a model of 2 GiB and a byte": ("limit", every("model/model.bin", bytes=(2 << 30) + 1)),
    "a graph of 2 GiB and a byte": ("limit", every("model/model.onnx", bytes=(2 << 30) + 1)),
    "a use that the list has otherwise": ("listing", lambda data: data["onnx"].update(bytes=1)),
    "a use that the list has not": ("listing", lambda data: data["onnx"].update(path="model/other.onnx")),
    "a file listed twice": ("listing", lambda data: data["files"].append(data["files"][0])),
    "a file that is not there": ("listing", lambda data: data["files"].append(listed("more"))),
    "a file of 4097": ("limit", lambda data: fill(data, 4097)),
    "4096 files, of which most are not there": (
        "listing",
        lambda data: fill(data, 4096),
    ),
    **{
        f"the path {path[:40]!r}": ("listing", more_files(path))
        for path in (
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "a/",
            "/a",
            "a//b",
            "a/./b",
            "a/../b",
            "../a",
            "a\\b",
            "a\x7f",
            "a\nb",
            "é",
            "device",
            "device/x",
            "manifest.json",
            "signature",
            "a" * 512,
            "a/" * 255 + "bc",
            "\U0001f642",
        )
    },
    **{
        f"the path {path[:40]!r} of a file that is not there": ("listing", more_files(path))
        for path in ("a" * 511, "device2", "a b", "...", "~", "a'b")
    },
}
"""What is wrong with each, by the name of the fault; None: it is taken."""


def texts(good: bytes) -> dict[str, tuple[str | None, bytes]]:
    """Texts of a manifest that differ in their bytes alone; what has another digest gets the right one afterwards."""
    digest = good[good.index(b'"manifest_sha256": "') :][:86]
    spaced = digest.replace(b'": "', b'":"')
    return {
        "other white space": (None, b" \t\r\n" + good.replace(b"\n", b"\r\n") + b"\n\n  "),
        "an escaped key": (None, good.replace(b'"passed"', b'"p\\u0061ssed"')),
        "an escaped label": (None, good.replace(b'"normal"', b'"n\\u006frmal"')),
        "a pair of surrogates": (None, good.replace(b'"normal"', b'"\\ud83d\\ude42"')),
        "a byte order mark": ("format", b"\xef\xbb\xbf" + good),
        "UTF-16": ("format", good.decode().encode("utf-16")),
        "Latin-1": ("format", good.replace(b'"normal"', b'"norm\xe4l"')),
        "an overlong sequence": ("format", good.replace(b'"normal"', b'"n\xc0\xafl"')),
        "a surrogate in UTF-8": ("format", good.replace(b'"normal"', b'"n\xed\xa0\x80l"')),
        "a lone surrogate": ("format", good.replace(b'"normal"', b'"n\\udfffl"')),
        "a lone surrogate in a key": ("format", good.replace(b'"weckd-edge"', b'"\\ud800"')),
        "U+0000": ("format", good.replace(b'"normal"', b'"n\\u0000l"')),
        "U+0000 in a key": ("format", good.replace(b'"weckd-edge"', b'"w\\u0000"')),
        "a raw tab": ("format", good.replace(b'"normal"', b'"nor\tmal"')),
        "a raw DEL": (None, good.replace(b'"normal"', b'"nor\x7fmal"')),
        "a byte behind it": ("format", good + b"x"),
        "a NUL behind it": ("format", good + b"\0"),
        "a second object behind it": ("format", good + b"{}"),
        "cut": ("format", good[:-3]),
        "empty": ("format", b""),
        "a list": ("format", b"[" + good + b"]"),
        "null": ("format", b"null"),
        "a comment": ("format", b"// hello\n" + good),
        "a comma too many": ("format", good.replace(b'"passed": true', b'"passed": true,,')),
        "a trailing comma": ("format", good.rstrip()[:-1].rstrip() + b",\n}\n"),
        "quotes of another kind": ("format", good.replace(b'"normal"', b"'normal'")),
        "a key twice": ("format", good.replace(b'"passed": true', b'"passed": true, "passed": true')),
        "a key twice, once escaped": ("format", good.replace(b'"passed": true', b'"passed": true, "p\\u0061ssed": true')),
        "a key twice deep inside": ("format", good.replace(b'"limit": 0.8', b'"limit": 0.8, "limit": 0.8')),
        "a number with a plus": ("format", good.replace(b'"limit": 0.8', b'"limit": +0.8')),
        "a number with a zero in front": ("format", good.replace(b'"limit": 0.8', b'"limit": 00.8')),
        "a number without a digit in front": ("format", good.replace(b'"limit": 0.8', b'"limit": .8')),
        "a number without a digit behind": ("format", good.replace(b'"limit": 0.8', b'"limit": 8.')),
        "a number in hexadecimal": ("format", good.replace(b'"limit": 0.8', b'"limit": 0x8')),
        "a number with an exponent": (None, good.replace(b'"limit": 0.8', b'"limit": 8E-1')),
        "minus zero": (None, good.replace(b'"limit": 0.8', b'"limit": -0')),
        "a denormal number": (None, good.replace(b'"limit": 0.8', b'"limit": 4e-324')),
        "the largest number": (None, good.replace(b'"limit": 0.8', b'"limit": 1.7976931348623157e308')),
        "a number that rounds to infinity": ("format", good.replace(b'"limit": 0.8', b'"limit": 1.7976931348623159e308')),
        "a whole number as a limit": (None, good.replace(b'"limit": 0.8', b'"limit": 9223372036854775807')),
        "a whole bar of 65 bits": ("format", good.replace(b'"limit": 0.8', b'"limit": 18446744073709551616')),
        "a list too many": ("format", good.replace(b'"value": null', b'"value": ' + b"[" * 20 + b"]" * 20)),
        "33 deep": ("format", good.replace(b'"value": null', b'"value": ' + b"[" * 33 + b"]" * 33)),
        "100,000 deep": ("format", good.replace(b'"value": null', b'"value": ' + b"[" * 100000 + b"]" * 100000)),
        "brackets in a text": (None, good.replace(b'"normal"', b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["')),
        "its digest without a space": ("format", good.replace(digest, spaced)),
        "its digest in capitals": ("format", good.replace(digest, digest[:20] + b"A" * 64 + digest[84:])),
        "its digest twice": ("format", good.replace(b'"weckd-edge": "0.1.0"', digest.rstrip(b","))),
        "another's digest under its key's name": (
            "format",
            good.replace(digest.rstrip(b","), b'"m\\u0061nifest_sha256": "' + b"1" * 64 + b'"').replace(
                b'"weckd-edge": "0.1.0"', digest.rstrip(b",")
            ),
        ),
        "no digest": ("format", good.replace(b'"manifest_sha256": "', b'"manifest_sha257": "')),
        "a changed byte": ("digest", good.replace(b"well", b"wall") + b" "),
    }


GUARDS: dict[str, tuple[str | None, Change]] = {
    "as it was": (None, lambda data: None),
    "no schema": (None, lambda data: data.pop("schema_version")),
    "schema 2": ("newer", lambda data: data.update(schema_version=2)),
    "schema 0": ("newer", lambda data: data.update(schema_version=0)),
    "schema true": ("format", lambda data: data.update(schema_version=True)),
    "no bars": ("format", lambda data: data.pop("limits")),
    "bars of nothing": (None, lambda data: data.update(limits={})),
    "another bar": ("format", lambda data: data["limits"].update(most_red=1)),
    "a bar in words": ("format", lambda data: data["limits"].update(max_dark_fraction="1")),
    "a bar of true": ("format", lambda data: data["limits"].update(max_dark_fraction=True)),
    "no max_ood_score": ("format", lambda data: data.pop("max_ood_score")),
    "max_ood_score null": (None, lambda data: data.update(max_ood_score=None)),
    "48 means": ("format", lambda data: data["mean"].pop()),
    "50 means": ("format", lambda data: data["mean"].append(0)),
    "a mean of null": ("format", lambda data: data["mean"].__setitem__(7, None)),
    "a mean that is whole": (None, lambda data: data["mean"].__setitem__(7, 3)),
    "a mean of 1e30": (None, lambda data: data["mean"].__setitem__(7, -1e30)),
    "a mean of more": ("format", lambda data: data["mean"].__setitem__(7, 1.1e30)),
    "a mean of 1e308": ("format", lambda data: data["mean"].__setitem__(7, 1e308)),
    "a bar of 1e31": ("format", lambda data: data.update(max_ood_score=1e31)),
    "a weight of 1e31": ("format", lambda data: data["whitening"][4].__setitem__(1, 1e31)),
    "a row too long": ("format", lambda data: data["whitening"][4].append(0)),
    "a row too short": ("format", lambda data: data["whitening"][4].pop()),
    "a row too few": ("format", lambda data: data["whitening"].pop()),
    "a row too many": ("format", lambda data: data["whitening"].append([0] * 50)),
    "a row that is none": ("format", lambda data: data["whitening"].__setitem__(3, 1)),
    "another key": ("format", lambda data: data.update(more=1)),
}


def npy(descr: str = "|u1", shape: str = "(4, 8, 8, 3)", data: int = 768, **more: Any) -> bytes:
    order, end = more.get("order", "False"), more.get("end", " " * 9 + "\n")
    header = more.get("header") or f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}{end}"
    magic: bytes = more.get("magic", b"\x93NUMPY\x01\x00")
    length = more.get("length", len(header))
    return magic + int(length).to_bytes(2, "little") + header.encode("latin-1") + b"\1" * data


ARRAYS: dict[str, tuple[bool, bytes]] = {
    "as NumPy writes it": (True, npy()),
    "no padding": (True, npy(end="\n")),
    "padding of 900 bytes": (True, npy(end=" " * 900 + "\n")),
    "padding of 1000 bytes": (False, npy(end=" " * 1000 + "\n")),
    "no line feed": (False, npy(end="  ")),
    "two line feeds": (False, npy(end="\n\n")),
    "a tab": (False, npy(end="\t\n")),
    "a NUL behind the header": (False, npy(end="\0\n")),
    "version 2": (False, npy(magic=b"\x93NUMPY\x02\x00")),
    "version 1.1": (False, npy(magic=b"\x93NUMPY\x01\x01")),
    "another magic": (False, npy(magic=b"\x93NUMPI\x01\x00")),
    "a byte too many": (False, npy(data=769)),
    "a byte too few": (False, npy(data=767)),
    "a frame too many": (False, npy(data=960)),
    "Fortran's order": (False, npy(order="True")),
    "another type": (False, npy(descr="|i1")),
    "float": (False, npy(descr="<f4")),
    "three sides": (False, npy(shape="(4, 8, 24)")),
    "five sides": (False, npy(shape="(4, 8, 8, 3, 1)")),
    "no frame": (False, npy(shape="(0, 8, 8, 3)", data=0)),
    "three frames": (False, npy(shape="(3, 8, 8, 3)", data=576)),
    "1e12 frames": (False, npy(shape="(1000000000000, 8, 8, 3)")),
    "2^32 frames": (False, npy(shape="(4294967296, 8, 8, 3)")),
    "1e30 frames": (False, npy(shape="(" + "1" + "0" * 30 + ", 8, 8, 3)")),
    "1e30 frames in Python's words": (False, npy(shape="(1e30, 8, 8, 3)")),
    "True frames": (False, npy(shape="(True, 8, 8, 3)")),
    "minus frames": (False, npy(shape="(-4, 8, 8, 3)")),
    "plus frames": (False, npy(shape="(+4, 8, 8, 3)")),
    "zeros in front": (False, npy(shape="(04, 8, 8, 3)")),
    "an underscore": (False, npy(shape="(1_0, 8, 8, 3)", data=1920)),
    "no spaces": (False, npy(shape="(4,8,8,3)")),
    "more spaces": (False, npy(shape="(4,  8, 8, 3)")),
    "a comma at the end": (False, npy(shape="(4, 8, 8, 3,)")),
    "a list": (False, npy(shape="[4, 8, 8, 3]")),
    "another order of keys": (
        False,
        npy(header="{'fortran_order': False, 'descr': '|u1', 'shape': (4, 8, 8, 3), }\n"),
    ),
    "one more key": (False, npy(header="{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8, 3), 'x': 1, }\n")),
    "a key twice": (
        False,
        npy(header="{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8, 3), }\n"),
    ),
    "code": (False, npy(shape="(__import__('os').getpid(), 8, 8, 3)")),
    "a header longer than the file": (False, npy(length=60000)),
    "a header cut short": (False, npy(length=20)),
    "empty": (False, b""),
    "five bytes": (False, b"\x93NUMP"),
    "a zip, as .npz is": (False, b"PK\x03\x04" + b"\0" * 500),
}


def signatures(good: bytes) -> dict[str, tuple[str | None, bytes]]:
    """Signature files of other bytes."""

    def changed(change: Change) -> bytes:
        data = json.loads(good)
        change(data)
        return json.dumps(data).encode()

    data = json.loads(good)
    payload, sig = data["dsseEnvelope"]["payload"], data["dsseEnvelope"]["signatures"][0]["sig"]
    der = base64.b64decode(sig)
    return {
        "as it was": (None, good),
        "a line feed behind it": (None, good + b"\n"),
        "other white space": (None, b"\n " + json.dumps(data, indent=3).encode() + b"\r\n\t "),
        "no tlogEntries": (None, changed(lambda d: d["verificationMaterial"].pop("tlogEntries", None))),
        "no keyid": (None, changed(lambda d: d["dsseEnvelope"]["signatures"][0].pop("keyid", None))),
        "an empty keyid": (None, changed(lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid=""))),
        "1 MiB": (None, good + b" " * ((1 << 20) - len(good))),
        "1 MiB and a byte": ("signature", good + b" " * ((1 << 20) + 1 - len(good))),
        **{
            what: ("signature", text)
            for what, text in {
                "empty": b"",
                "a word": b"signed",
                "null": b"null",
                "a list": b"[]",
                "an object": b"{}",
                "cut": good[:-1],
                "a byte behind it": good + b"x",
                "a NUL behind it": good + b"\0",
                "a byte order mark": b"\xef\xbb\xbf" + good,
                "deep nesting": b"[" * 100_000,
                "another key": changed(lambda d: d.update(more=1)),
                "another key in the material": changed(lambda d: d["verificationMaterial"].update(more=1)),
                "a log entry": changed(lambda d: d["verificationMaterial"].update(tlogEntries=[{}])),
                "log entries of another type": changed(lambda d: d["verificationMaterial"].update(tlogEntries={})),
                "no hint": changed(lambda d: d["verificationMaterial"]["publicKey"].pop("hint")),
                "another hint": changed(lambda d: d["verificationMaterial"]["publicKey"].update(hint="0" * 64)),
                "a hint in capitals": changed(
                    lambda d: d["verificationMaterial"]["publicKey"].update(
                        hint=d["verificationMaterial"]["publicKey"]["hint"].upper()
                    )
                ),
                "a hint that is a number": changed(lambda d: d["verificationMaterial"]["publicKey"].update(hint=1)),
                "another media type": changed(lambda d: d.update(mediaType=d["mediaType"].replace("0.3", "0.2"))),
                "another payload type": changed(lambda d: d["dsseEnvelope"].update(payloadType="application/json")),
                "a keyid": changed(lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid="x")),
                "a keyid of null": changed(lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid=None)),
                "two signatures": changed(
                    lambda d: d["dsseEnvelope"]["signatures"].append(d["dsseEnvelope"]["signatures"][0])
                ),
                "no signature": changed(lambda d: d["dsseEnvelope"].update(signatures=[])),
                "an empty signature": changed(lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="")),
                "signature and zeros": changed(
                    lambda d: d["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(der + b"\0").decode())
                ),
                "a changed signature": changed(
                    lambda d: d["dsseEnvelope"]["signatures"][0].update(
                        sig=base64.b64encode(der[:-1] + bytes([der[-1] ^ 1])).decode()
                    )
                ),
                "an empty payload": changed(lambda d: d["dsseEnvelope"].update(payload="")),
                "another payload": changed(
                    lambda d: d["dsseEnvelope"].update(payload=base64.b64encode(base64.b64decode(payload) + b" ").decode())
                ),
                "base64 with a line break": changed(
                    lambda d: d["dsseEnvelope"].update(payload=payload[:4] + "\n" + payload[4:])
                ),
                "base64 for addresses": changed(lambda d: d["dsseEnvelope"].update(payload="-_" + payload[2:])),
                "base64 without padding": changed(
                    lambda d: d["dsseEnvelope"]["signatures"][0].update(
                        sig=sig.rstrip("=") if sig.endswith("=") else sig[:-1]
                    )
                ),
                "base64 with more padding": changed(lambda d: d["dsseEnvelope"]["signatures"][0].update(sig=sig + "====")),
                "a payload that is a number": changed(lambda d: d["dsseEnvelope"].update(payload=1)),
                "a key twice": good.replace(b'"mediaType"', b'"mediaType": "x", "mediaType"', 1),
            }.items()
        },
    }


def statements(digest: bytes) -> dict[str, tuple[str | None, Any]]:
    """Statements that the owner of the key has signed."""
    good = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "bundle", "digest": {"sha256": hashlib.sha256(digest).hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [{"algorithm": "sha256", "digest": digest.hex(), "name": "."}],
            "serialization": {"method": "files"},
        },
    }

    def changed(path: tuple[Any, ...], value: Any) -> Any:
        return put(good, path, value)

    resource, subject = good["predicate"]["resources"][0], good["subject"][0]  # type: ignore[index]
    return {
        "as model signing writes it": (None, good),
        "more in it": (None, {**good, "more": [1, {"a": None}]}),
        **{
            what: ("signature", data)
            for what, data in {
                "an older predicate": changed(("predicateType",), "https://model_signing/signature/v0.1"),
                "another type": changed(("_type",), "https://in-toto.io/Statement/v0.1"),
                "no type": changed(("_type",), GONE),
                "two resources": changed(("predicate", "resources"), [resource, resource]),
                "no resource": changed(("predicate", "resources"), []),
                "resources of another type": changed(("predicate", "resources"), {"0": resource}),
                "a predicate of another type": changed(("predicate",), "x"),
                "another algorithm": changed(("predicate", "resources", 0, "algorithm"), "blake2b"),
                "another digest": changed(("predicate", "resources", 0, "digest"), "0" * 64),
                "a digest in capitals": changed(("predicate", "resources", 0, "digest"), digest.hex().upper()),
                "no digest": changed(("predicate", "resources", 0, "digest"), GONE),
                "two subjects": changed(("subject",), [subject, subject]),
                "another subject": changed(("subject", 0, "digest", "sha256"), digest.hex()),
                "a subject of another type": changed(("subject", 0, "digest"), [digest.hex()]),
                "no subject": changed(("subject",), GONE),
                "a list": [good],
                "null": None,
            }.items()
        },
    }

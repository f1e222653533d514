"""Tokenizer files made from the bundled demo's: older layouts, other special tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def demo_tokenizer(demo_folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((demo_folder / "tokenizer.json").read_text(encoding="utf-8"))
    return content


def write_tokenizer_json(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_vocab_and_merges(folder: Path, content: dict[str, Any], added_in: str) -> Path:
    """The layout before `tokenizer.json`; special tokens in `added_tokens.json` or in `tokenizer_config.json`."""
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    added = content["added_tokens"]
    if added_in == "added_tokens.json":
        names = {token["content"]: token["id"] for token in added}
        (folder / added_in).write_text(json.dumps(names), encoding="utf-8")
    else:
        by_id = {str(token["id"]): {"content": token["content"], "special": token["special"]} for token in added}
        (folder / added_in).write_text(json.dumps({"added_tokens_decoder": by_id}), encoding="utf-8")
    return folder


def rename(content: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The same tokenizer with one added token under another name."""
    added = [{**token, "content": token["content"].replace(old, new)} for token in content["added_tokens"]]
    return {**content, "added_tokens": added}

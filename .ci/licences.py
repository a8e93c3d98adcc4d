"""Writes the licence texts of everything that is linked into the function, on either processor, to the first argument.

The texts are those that each crate is published with. Fails if a crate has none and is not in MISSING.
"""

import html
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Crates that are published without a text: the text that their repository has, and its notice.
LAMBDA = ["LICENSE-APACHE", "licences/aws-lambda-rust-runtime.txt"]
MISSING = {
    "base64-simd": ["licences/nugine-simd.txt"],
    "http-serde": ["LICENSE-APACHE"],
    **dict.fromkeys(["lambda_http", "lambda_runtime", "lambda_runtime_api_client"], LAMBDA),
    "rlibphonenumber": ["LICENSE-APACHE", "licences/rlibphonenumber.txt"],
    "vsimd": ["licences/nugine-simd.txt"],
    "zeroes_itoa": ["LICENSE-APACHE"],
}
TEXT = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True).stdout


def linked():
    """The crates in the function, without those that only run while it is compiled, as `(name, v1.2.3)`."""
    options = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    for target in ("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"):
        lines = cargo("tree", "--package", "callgate", "--target", target, *options).splitlines()
        yield from (tuple(line.split()[:2]) for line in lines if line)


def licence_texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    if not package["source"]:  # ours
        return [it.read_text() for it in sorted(ROOT.glob("LICENSE-*"))]
    own = sorted(it for it in folder.rglob("*") if it.is_file() and TEXT.match(it.name) and it.suffix != ".rs")
    missing = [ROOT / name for name in MISSING.get(package["name"], [])]
    assert not (own and missing), f"{package['id']} has a licence text now; remove it from MISSING"
    texts = [it.read_text(errors="replace").strip() for it in own or missing]
    # A pointer to a text elsewhere is not enough.
    assert any(len(text) > 500 for text in texts), f"{package['id']} has no licence text"
    return texts


def standard_library():
    """The page about the standard library that comes with the compiler, as text."""
    root = subprocess.run(["rustc", "--print", "sysroot"], text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    page = pathlib.Path(root, "share/doc/rust/COPYRIGHT-library.html").read_text()
    return re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub("<[^>]+>", "", page))).strip()


def main(target):
    packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    packages = {(it["name"], f"v{it['version']}"): it for it in packages}
    crates, names_by_text = sorted(set(linked())), {}
    assert len(crates) > 100, crates
    for crate in crates:
        for text in dict.fromkeys(licence_texts(packages[crate])):
            names_by_text.setdefault(text, []).append(" ".join(crate))
    names_by_text[standard_library()] = ["the standard library of Rust"]
    parts = [f"{', '.join(names)}\n{'-' * 80}\n{text}\n" for text, names in names_by_text.items()]
    parts.insert(0, "The licences of callgate and of what is linked into it\n")
    pathlib.Path(target).write_text(f"\n{'=' * 80}\n".join(parts))
    print(f"{target}: {len(names_by_text)} texts of {len(crates)} crates and the standard library")


main(*sys.argv[1:])

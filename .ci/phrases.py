"""Finds phrases that must not come back, listed in .ci/phrases.txt, in the text that people read.

Each line there is a regular expression, an arrow, and what to write instead. Case does not matter.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
WHERE = ["*.md", "*.rs", "*.toml", "*.yaml", "*.yml", "*.html", ".ci", "fuzz/run", ":!.ci/phrases.txt"]
LINES = [line for line in (ROOT / ".ci/phrases.txt").read_text().splitlines() if line and not line.startswith("#")]
PHRASES = [(re.compile(it[0], re.IGNORECASE), it[1]) for it in (line.split(" -> ", 1) for line in LINES)]

found = 0
listed = subprocess.run(["git", "ls-files", "-z", "--", *WHERE], cwd=ROOT, text=True, capture_output=True, check=True)
for path in listed.stdout.split("\0")[:-1]:
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        for pattern, advice in PHRASES:
            if match := pattern.search(line):
                found += 1
                print(f"{path}:{number}: `{match[0]}`: {advice}")
sys.exit(f"{found} phrases to replace" if found else 0)

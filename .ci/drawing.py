"""An SVG that can be read on a light page and on a dark one."""

from xml.sax.saxutils import escape

STYLE = """
:root{--page:#fff;--panel:#fff;--ink:#1f2933;--quiet:#5b6773;--edge:#cbd2d9;--grid:#e6eaee;--fill:#eef4fa;--accent:#2468a8;--bad:#c0392b;--good:#2e7d4f}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--panel:#151b23;--ink:#e6edf3;--quiet:#9aa7b4;--edge:#3d4752;--grid:#262d36;--fill:#1b2733;--accent:#6cb0ee;--bad:#f0776b;--good:#6cc48d}}
text{font:14px -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:var(--ink)}
.page{fill:var(--page)}.panel{fill:var(--panel);stroke:var(--edge)}.box{fill:var(--fill);stroke:var(--accent);stroke-width:1.5}
.group{fill:none;stroke:var(--edge);stroke-width:1.5;stroke-dasharray:6 4}
.title{font-size:22px;font-weight:600}.heading{font-weight:600}.strong{font-weight:600}.name{font-size:16px;font-weight:600}
.note,.small{font-size:12px;fill:var(--quiet)}.note,.label{font-size:14px;fill:var(--quiet)}.middle{text-anchor:middle}.end{text-anchor:end}
.grid{stroke:var(--grid)}.life{stroke:var(--edge);stroke-dasharray:3 4}.arrow{stroke:var(--ink);stroke-width:1.5;fill:none}.tip{fill:var(--ink)}
.mark{stroke:var(--bad);stroke-dasharray:5 3}.marked{fill:var(--bad)}.bad{fill:var(--bad)}.good{fill:var(--good)}
"""


class Drawing:
    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = [f"<title>{escape(title)}</title>", f"<style>{STYLE.strip()}</style>"]
        self.parts.append(f'<rect class="page" width="{width:g}" height="{height:g}" rx="6"/>')

    def put(self, text):
        self.parts.append(text)

    def text(self, x, y, text, kind=""):
        self.put(f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, kind):
        self.put(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def rect(self, x, y, width, height, color):
        self.put(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{color}"/>')

    def panel(self, x, y, width, height, kind="panel"):
        self.put(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" class="{kind}"/>')

    def chip(self, x, y, width, height, text, is_bad):
        self.panel(x, y, width, height)
        kind, state = ("bad", "In alarm") if is_bad else ("good", "OK")
        self.put(f'<rect x="{x:g}" y="{y:g}" width="5" height="{height:g}" class="{kind}"/>')
        self.text(x + 14, y + height / 2 + 5, text)
        self.text(x + width - 10, y + height / 2 + 5, state, f"small strong end {kind}")

    def ground(self, x, y, text, anchor="middle"):
        """The page's color under a text in small letters that stands on a line."""
        width = 7 * len(text) + 8
        left = x - 4 if anchor == "start" else x - width / 2
        self.put(f'<rect x="{left:g}" y="{y - 11:g}" width="{width:g}" height="15" class="page"/>')

    def curve(self, points, color):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.put(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6" stroke-linejoin="round"/>')

    def area(self, points, color):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.put(f'<polygon points="{path}" fill="{color}" fill-opacity=".82"/>')

    def arrow(self, *points):
        """Along these points, with a tip at the last."""
        (x1, y1), (x, y) = points[-2:]
        path = " ".join(f"{a:g},{b:g}" for a, b in points)
        self.put(f'<polyline points="{path}" class="arrow"/>')
        length = ((x - x1) ** 2 + (y - y1) ** 2) ** 0.5
        dx, dy = (x - x1) / length, (y - y1) / length
        wings = [(x - 9 * dx - 4 * dy, y - 9 * dy + 4 * dx), (x - 9 * dx + 4 * dy, y - 9 * dy - 4 * dx)]
        tip = " ".join(f"{a:.1f},{b:.1f}" for a, b in [(x, y), *wings])
        self.put(f'<polygon points="{tip}" class="tip"/>')

    def box(self, x, y, width, height, name, *notes):
        self.panel(x, y, width, height, "box")
        top = y + height / 2 + 6 - 9 * len(notes)
        self.text(x + width / 2, top, name, "name middle")
        for number, note in enumerate(notes, 1):
            self.text(x + width / 2, top + 18 * number, note, "note middle")

    def svg(self):
        size = f'width="{self.width:g}" height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n' + "\n".join(self.parts) + "\n</svg>\n"

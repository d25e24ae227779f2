"""The built site in a real browser: `make docs`, then ``python docs/browser.py``.

Every page of build/docs is served on this machine and loaded in headless Chromium, wide and on a
narrow screen. Asserted are: no error on the console, no request that fails or goes elsewhere,
pictures that are there and have words, no sideways scrolling at 390 pixels, a switch to dark that
darkens, a search that finds "roto-translation", and on the start page, where axe-core is there, no
serious finding in light or dark. Screenshots go to build/screens.

Needs: pip install playwright; Chromium, found on PATH or as CHROMIUM; for accessibility axe-core:
``npm pack axe-core`` unpacked, AXE=package/axe.min.js, or in node_modules.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "docs"
WIDE, NARROW = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
SHOWN = (
    "index",
    "start",
    "guide/mathematics",
    "guide/transforms",
    "auto_gallery/index",
    "api/scatcuda",
    "interfaces/c",
)
PICTURES = """async () => {
    const found = [];
    for (const picture of document.images) {
        picture.loading = "eager";
        try { await picture.decode() } catch { }
        if (!picture.naturalWidth) found.push(`${picture.src} is not there`);
        if (!picture.hasAttribute("alt")) found.push(`${picture.src} has no words`);
    }
    return found;
}"""
OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("article *")]
        .filter(e => e.getBoundingClientRect().right > width + 1)
        .slice(0, 3).map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`)
        .concat(["scrolls sideways"]);
}"""
AXE = """async () => (await axe.run(document, { resultTypes: ["violations", "passes"] }))"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def opened(browser: Browser, home: str, viewport: dict[str, int], wrong: list[str]) -> Page:
    """A page that notes what goes wrong with it."""
    page = browser.new_page(viewport=viewport)

    def note(what: str) -> None:
        wrong.append(f"{page.url.removeprefix(home)}: {what}")

    page.on("console", lambda said: note(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: note(f"script: {error}"))
    page.on("requestfailed", lambda request: note(f"failed: {request.url}"))
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((home, "data:")) else note(f"elsewhere: {asked.url}")
        ),
    )
    page.on(
        "response", lambda came: note(f"{came.status}: {came.url}") if came.status >= 400 else None
    )
    return page


def background(page: Page) -> str:
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")


def axe_script() -> Path | None:
    places = [os.environ.get("AXE", ""), ROOT / "node_modules/axe-core/axe.min.js"]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def accessibility(page: Page, script: Path) -> tuple[list[str], str]:
    """What is serious, and in words how many rules hold."""
    page.add_script_tag(content=script.read_text(encoding="utf-8"))
    found = page.evaluate(AXE)
    lines = [
        f"axe, {v['impact']}: {v['help']}: " + "; ".join(n["target"][0] for n in v["nodes"][:3])
        for v in found["violations"]
    ]
    hold, fail = len(found["passes"]), len(found["violations"])
    return lines, f"{hold} of {hold + fail} rules hold"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--site", type=Path, default=SITE)
    parser.add_argument("--screens", type=Path, default=ROOT / "build" / "screens")
    options = parser.parse_args()
    names = sorted(
        p.relative_to(options.site).with_suffix("").as_posix() for p in options.site.rglob("*.html")
    )
    names = [name for name in names if not name.startswith(("_static", "_downloads"))]
    if "index" not in names:
        raise SystemExit(f"{options.site}: no site; run `make docs` first")
    options.screens.mkdir(parents=True, exist_ok=True)
    chromium = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    wrong: list[str] = []
    with sync_playwright() as play, served(options.site) as home:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        wide, narrow = (opened(browser, home, size, wrong) for size in (WIDE, NARROW))
        for name in names:
            for page, width in ((wide, "wide"), (narrow, "narrow")):
                page.goto(f"{home}/{name}.html", wait_until="load")
                if width == "wide":
                    wrong += [f"{name}: {what}" for what in page.evaluate(PICTURES)]
                else:
                    wrong += [f"{name}: {what}" for what in page.evaluate(OVERFLOW)]
                if name in SHOWN:
                    file = options.screens / f"{name.replace('/', '-')}-{width}.png"
                    page.screenshot(path=file, full_page=width == "wide" and name == "index")
        print(f"{len(names)} pages loaded, on a wide and on a narrow screen")

        wide.goto(f"{home}/search.html?q=roto-translation", wait_until="load")
        wide.wait_for_selector("#search-results li a", timeout=20_000)
        wide.wait_for_load_state("networkidle")  # what is found is read for its summary
        hits = wide.locator("#search-results li a").all_inner_texts()
        print(f'search finds "roto-translation": {", ".join(hits[:4])}')
        if not any("otoTranslation" in hit or "transform" in hit.lower() for hit in hits):
            wrong.append(f"search: {hits}")

        script, light = axe_script(), None
        for mode in ("light", "dark"):
            wide.goto(f"{home}/index.html", wait_until="load")
            while wide.evaluate("() => document.body.dataset.theme") != mode:
                wide.locator(".theme-toggle:visible").first.click()
            if mode == "light":
                light = background(wide)
            elif background(wide) == light:
                wrong.append("dark mode changes nothing")
            wide.screenshot(path=options.screens / f"index-{mode}.png")
            if script is None:
                print("axe-core was not found: accessibility was not looked at")
                continue
            lines, words = accessibility(wide, script)
            print(f"axe on the start page, {mode}: {words}", *lines, sep="\n  ")
            wrong += [line for line in lines if line.startswith(("axe, serious", "axe, critical"))]
        for name in SHOWN:
            if name in names:
                wide.goto(f"{home}/{name}.html", wait_until="load")
                wide.screenshot(path=options.screens / f"{name.replace('/', '-')}-dark.png")
        browser.close()
    if wrong:
        raise SystemExit("\n".join(dict.fromkeys(wrong)))
    print("all is well")


if __name__ == "__main__":
    main()

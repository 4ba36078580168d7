"""What is wrong with a page or a paper to look at: text that is cut off, runs into other text, or can't be read."""

from dataclasses import dataclass
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from playwright.sync_api import Page

SEEN_WRONG = """
() => {
  const wrong = [];
  const shown = (node) => node.checkVisibility({visibilityProperty: true}) && !node.closest('.hidden');
  const scrolls = (node) => node.closest('.wide') !== null;
  const say = (what, text) => wrong.push(`${what}: ${text.trim().slice(0, 60)}`);
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) say('the page is wider than the window', '');
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || !shown(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const rects = parent.closest('svg') ? [parent.getBoundingClientRect()] : [...range.getClientRects()];
    for (const box of rects) {
      if (box.width < 1 || box.height < 1) continue;
      if (!scrolls(parent) && (box.left < -0.5 || box.right > width + 0.5)) say('beside the page', node.data);
      const high = box.height * 0.22;
      const [top, bottom] = [box.top + high, box.bottom - high];
      boxes.push({left: box.left + 1, right: box.right - 1, top, bottom, text: node.data});
    }
  }
  boxes.sort((one, other) => one.top - other.top);
  boxes.forEach((one, at) => {
    for (let next = at + 1; next < boxes.length && boxes[next].top < one.bottom; next++) {
      const other = boxes[next];
      const apart = one.left >= other.right || other.left >= one.right;
      if (!apart) say('one text over another', `${one.text.trim()} / ${other.text}`);
    }
  });
  for (const node of document.querySelectorAll('main *:not(svg *)')) {
    if (!shown(node) || scrolls(node)) continue;
    if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 && getComputedStyle(node).display !== 'inline')
      say('wider than its place', node.textContent);
  }
  for (const drawing of document.querySelectorAll('figure svg')) {
    const frame = drawing.getBoundingClientRect();
    for (const text of drawing.querySelectorAll('text')) {
      const box = text.getBoundingClientRect();
      const across = box.left >= frame.left - 1 && box.right <= frame.right + 1;
      const high = box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
      if (!across || !high) say('cut off by its chart', text.textContent);
    }
  }
  return wrong;
}
"""
FAINT = """
() => {
  const channels = (colour) => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  for (const node of document.querySelectorAll('main *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(channels(node.closest('svg') ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faint.add(`${ratio.toFixed(2)}: ${node.textContent.trim().slice(0, 40)}`);
  }
  return [...faint];
}
"""


def wrong_on_the_page(page: Page) -> list[str]:
    """Text that is cut off, beside the page, or over other text."""
    found: list[str] = page.evaluate(SEEN_WRONG)
    return found


def too_faint(page: Page) -> list[str]:
    """Text whose contrast is below 4.5."""
    found: list[str] = page.evaluate(FAINT)
    return found


@dataclass(frozen=True)
class Box:
    """A piece of a line."""

    left: float
    bottom: float
    right: float
    top: float
    text: str


def boxes(page: pypdfium2.PdfPage) -> list[Box]:
    """Every piece of text of a page of a paper."""
    text = page.get_textpage()
    found = [text.get_rect(number) for number in range(text.count_rects())]
    return [Box(*rect, text=text.get_text_bounded(*rect).strip()) for rect in found]


def wrong_on_paper(page: pypdfium2.PdfPage) -> list[str]:
    """Text that is beside the margins, or over other text."""
    width, height = page.get_size()
    margin = 40
    wrong = []
    pieces = [box for box in boxes(page) if box.text]
    for box in pieces:
        if box.left < margin or box.right > width - margin or box.bottom < 20 or box.top > height - 20:
            wrong.append(f"beside the margins: {box.text[:60]}")
    for at, one in enumerate(pieces):
        for other in pieces[at + 1 :]:
            across = min(one.right, other.right) - max(one.left, other.left)
            high = min(one.top, other.top) - max(one.bottom, other.bottom)
            if across > 1 and high > 0.3 * min(one.top - one.bottom, other.top - other.bottom):
                wrong.append(f"one text over another: {one.text[:40]} / {other.text[:40]}")
    return wrong


def not_embedded(page: pypdfium2.PdfPage) -> int:
    """How many texts of a page are set in a typeface that the file does not carry."""
    texts: list[Any] = [each for each in page.get_objects() if each.type == pdfium.FPDF_PAGEOBJ_TEXT]
    return sum(pdfium.FPDFFont_GetIsEmbedded(pdfium.FPDFTextObj_GetFont(each.raw)) != 1 for each in texts)

// Search as you type, and buttons that copy. Pages work without: what needs this script is hidden until it runs.
"use strict";
(() => {
const FIELDS = [[1, 60], [3, 25], [4, 25], [5, 15], [0, 12], [2, 8]]; // place in an entry, weight; the greatest first
const SHOWN = 40;
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|[\ud840-\ud88d]/;
const byId = (id) => document.getElementById(id);

// ---- Words: without case and accents, so that what is easy to type finds what is not

const SPELLED = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i", "þ": "th", "ð": "d"};
const fold = (text) => text.normalize("NFKD").toLowerCase().replace(/\p{M}+/gu, "").replace(/[ßæœøđłıþð]/g, (c) => SPELLED[c]);
const wordsOf = (text) => fold(text).match(/[\p{L}\p{N}]+/gu) || [];

// ---- The index: all words in order, with the entries that have each. It is built in slices, so that typing goes on.

class Index {
  constructor(entries) {
    this.entries = entries;
    this.texts = new Array(entries.length); // folded, for writing without spaces
    this.names = new Array(entries.length);
    this.places = new Map(); // word -> [entry, weight, entry, weight, ...]
  }

  async build(pause) {
    let until = performance.now() + 12;
    for (let i = 0; i < this.entries.length; i++) {
      this.add(i);
      if (i % 16 === 0 && performance.now() > until) {
        await pause();
        until = performance.now() + 12;
      }
    }
    this.words = [...this.places.keys()].sort();
    this.lists = this.words.map((word) => this.places.get(word));
    this.scores = new Float64Array(this.entries.length);
    this.best = new Float64Array(this.entries.length);
    return this;
  }

  add(i) {
    const entry = this.entries[i], seen = new Set();
    for (const [field, weight] of FIELDS) {
      const words = wordsOf(entry[field]);
      if (field === 1) this.names[i] = words.join(" ");
      for (let n = 0; n < words.length; n++) {
        if (seen.has(words[n])) continue;
        seen.add(words[n]);
        const list = this.places.get(words[n]), value = field === 1 && n === 0 ? weight + 15 : weight;
        if (list) list.push(i, value); else this.places.set(words[n], [i, value]);
      }
    }
    this.texts[i] = [fold(entry[1]), fold(`${entry[4]} ${entry[3]}`), fold(entry[2])];
  }

  // The entries that have all words of a text, the best first. Slips are forgiven only where nothing else is found.
  search(text) {
    const words = wordsOf(text);
    if (!words.length) return [];
    const found = this.match(words, false);
    return found.length ? found : this.match(words, true);
  }

  match(words, forgiving) {
    const {scores, best} = this;
    scores.fill(0);
    words.forEach((word, n) => {
      best.fill(0);
      this.prefix(word);
      if (UNSPACED.test(word)) this.within(word, [60, 25, 8]);
      else if (word.length >= 4) this.within(word, [11, 7, 4]); // compounds, such as Taschenrechner
      if (forgiving) this.near(word);
      for (let i = 0; i < scores.length; i++) scores[i] = best[i] && (n === 0 || scores[i]) ? scores[i] + best[i] : 0;
    });
    const whole = words.join(" "), found = [];
    for (let i = 0; i < scores.length; i++) {
      if (!scores[i]) continue;
      if (this.names[i] === whole) scores[i] += 100; else if (this.names[i].startsWith(whole)) scores[i] += 20;
      found.push(i);
    }
    return found.sort((a, b) => scores[b] - scores[a] || this.names[a].length - this.names[b].length || a - b);
  }

  take(n, factor) {
    const list = this.lists[n], best = this.best;
    for (let k = 0; k < list.length; k += 2) best[list[k]] = Math.max(best[list[k]], list[k + 1] * factor);
  }

  prefix(word) {
    let low = 0, high = this.words.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[middle] < word) low = middle + 1; else high = middle;
    }
    for (; low < this.words.length && this.words[low].startsWith(word); low++) this.take(low, this.words[low] === word ? 1.2 : 1);
  }

  within(word, weights) {
    this.texts.forEach((texts, i) => {
      const field = texts.findIndex((text) => text.includes(word));
      if (field >= 0) this.best[i] = Math.max(this.best[i], weights[field]);
    });
  }

  // Words of which some beginning is `word` but for one slip, or two in long words: a letter too many, too few, another
  // one, or two that changed places. There is a row of distances for each letter; the next word, in order, goes on
  // from the rows of those that it begins with, too.
  near(word) {
    const size = word.length, allowed = size > 100 ? 0 : size >= 8 ? 2 : size >= 4 ? 1 : 0, longest = size + allowed;
    if (!allowed) return;
    const rows = Array.from({length: longest + 1}, () => new Uint8Array(size + 1));
    const least = new Uint8Array(longest + 1).fill(99), lowest = new Uint8Array(longest + 1);
    for (let j = 0; j <= size; j++) rows[0][j] = j;
    let before = "", depth = 0, hopeless = false;
    this.words.forEach((other, n) => {
      let i = 0;
      while (i < depth && other[i] === before[i]) i++;
      if (!hopeless || i < depth) {
        hopeless = false;
        for (; !hopeless && i < other.length && i < longest; i++) {
          const row = rows[i + 1], above = rows[i];
          let low = row[0] = i + 1;
          for (let j = 1; j <= size; j++) {
            let cost = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (other[i] === word[j - 1] ? 0 : 1));
            if (i && j > 1 && other[i] === word[j - 2] && other[i - 1] === word[j - 1]) cost = Math.min(cost, rows[i - 1][j - 2] + 1);
            row[j] = cost;
            low = Math.min(low, cost);
          }
          lowest[i + 1] = low;
          least[i + 1] = Math.min(least[i], row[size]);
          hopeless = low > allowed && lowest[i] >= allowed;
        }
        depth = i;
        before = other;
      }
      if (least[depth] <= allowed) this.take(n, 0.5 / (1 + least[depth]));
    });
  }
}

// ---- The field and its results

const form = byId("search"), input = byId("q"), panel = byId("found"), count = byId("count"), list = byId("results");
const say = form.dataset;
const pause = () => new Promise((done) => setTimeout(done));
let index = null, loading = null;

// What is searched in was packed when the site was built, and is unpacked here, unless the host or a proxy did so: no host
// has to know anything of it. The plain file is for browsers that can't, and for hosts that lack this one.
async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(answer.statusText);
  const bytes = new Uint8Array(await answer.arrayBuffer()), packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return new Response(packed ? new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")) : bytes).json();
}

const load = () => loading ??= (window.DecompressionStream ? read(`${say.index}.gz`) : Promise.reject())
  .catch(() => read(say.index))
  .then((entries) => new Index(entries).build(pause))
  .then((built) => { index = built; }, () => { loading = null; return Promise.reject(new Error(say.failed)); });

const element = (name, css, text = "") => {
  const made = document.createElement(name);
  made.className = css;
  made.textContent = text;
  if (text) made.dir = "auto";
  return made;
};

function picture([id, name, , , , , icon]) {
  if (!icon) {
    const letter = element("span", `icon s40 letter t${[...id].length % 6}`, [...(name || id)][0].toUpperCase());
    letter.ariaHidden = "true";
    return letter;
  }
  const image = element("img", "icon s40");
  return Object.assign(image, {alt: "", width: 40, height: 40, loading: "lazy", decoding: "async", src: say.top + icon});
}

function result(entry) {
  const link = element("a", ""), what = element("span", "what"), item = element("li", "");
  link.href = `${say.home}apps/${encodeURIComponent(entry[0])}/index.html`;
  what.append(element("strong", "", entry[1] || entry[0]), element("span", "summary", entry[2]));
  link.append(picture(entry), what);
  item.append(link);
  return item;
}

function show() {
  const text = input.value.trim().slice(0, input.maxLength);
  panel.hidden = !text;
  if (!text) return list.replaceChildren();
  if (!index) {
    count.textContent = say.loading;
    return load().then(show, (error) => { count.textContent = error.message; });
  }
  const found = index.search(text);
  count.textContent = found.length
    ? say.found.replace("{count}", found.length.toLocaleString(document.documentElement.lang)) : say.none;
  list.replaceChildren(...found.slice(0, SHOWN).map((i) => result(index.entries[i])));
  panel.scrollTop = 0;
}

function remember() {
  const text = input.value.trim();
  if (text || location.hash.startsWith("#q=")) {
    history.replaceState(null, "", text ? `#q=${encodeURIComponent(text)}` : location.pathname);
  }
}

function recall() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("q") ?? new URLSearchParams(location.search).get("q");
  if (asked === null) return;
  input.value = asked;
  show();
}

function move(event) {
  const links = [...list.querySelectorAll("a")], stops = [input, ...links], at = stops.indexOf(document.activeElement);
  const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 1, End: links.length}[event.key];
  if (event.key === "Escape" && !panel.hidden) {
    panel.hidden = true;
    input.focus();
    panel.hidden = true; // the focus opened it again
  } else if (event.key === "Enter" && at === 0) {
    links[0]?.click();
  } else if (to !== undefined && at >= 0 && !panel.hidden && (at > 0 || event.key.startsWith("Arrow"))) {
    stops[Math.max(0, Math.min(to, links.length))].focus();
  } else {
    return;
  }
  event.preventDefault();
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("keydown", move);
form.addEventListener("focusout", (event) => { panel.hidden ||= !!event.relatedTarget && !form.contains(event.relatedTarget); });
document.addEventListener("pointerdown", (event) => { panel.hidden ||= !form.contains(event.target); });
input.addEventListener("focus", () => { load().catch(() => {}); panel.hidden = !input.value.trim(); });
input.addEventListener("input", () => { show(); remember(); });
addEventListener("hashchange", recall);
recall();

// ---- Buttons that copy a command

for (const button of document.querySelectorAll("button[data-copy]")) {
  const name = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = byId(button.dataset.copy);
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      document.execCommand("copy"); // without HTTPS there is no other way
    }
    button.textContent = byId("told").textContent = button.dataset.done;
    setTimeout(() => { button.textContent = name; byId("told").textContent = ""; }, 2000);
  });
}
})();

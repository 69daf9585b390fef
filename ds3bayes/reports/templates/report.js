"use strict";
// Sorts and filters tables, opens what is folded for print, and decides again at another cap, target or price.
// The page is whole without it; it loads nothing and writes text only, never markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };

  // ---- Tables.
  const RAISED = { "⁰": 0, "¹": 1, "²": 2, "³": 3, "⁴": 4, "⁵": 5, "⁶": 6, "⁷": 7, "⁸": 8, "⁹": 9, "⁻": "-" };
  // The number that a cell begins with: 1,234; −0.5; <0.01; 2.50×10¹³. Words, as "not reached", come after numbers.
  const leading = (text) => {
    const found = /^\s*([<>]?)\s*([−-]?)([\d,]+(?:\.\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?/.exec(text);
    if (!found) return text.trim().startsWith("∞") ? Infinity : NaN;
    const power = found[4] ? Number([...found[4]].map((one) => RAISED[one]).join("")) : 0;
    const value = Number(found[3].replaceAll(",", "")) * 10 ** power * (found[2] ? -1 : 1);
    return value + (found[1] === "<" ? -1e-9 : found[1] === ">" ? 1e-9 : 0);
  };
  const sortBy = (table, column, falling) => {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.cells[column].textContent.trim());
    const values = texts.map(leading);
    const numeric = table.tHead.rows[0].cells[column].classList.contains("n") || column === 0 && !values.some(isNaN);
    const order = rows.map((_, place) => place).sort((a, b) => {
      const way = falling ? -1 : 1;
      if (!numeric) return way * texts[a].localeCompare(texts[b], "en", { numeric: true });
      const [x, y] = [values[a], values[b]];
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return x === y ? a - b : way * (x - y);
    });
    table.tBodies[0].append(...order.map((place) => rows[place]));
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", falling ? "descending" : "ascending");
  };
  for (const table of document.querySelectorAll("main table")) {
    const rows = table.tBodies[0].rows;
    if (rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = make("button", { type: "button", class: "sort" }, cell.textContent.trim());
      cell.textContent = "";
      cell.append(button);
      button.addEventListener("click", () => {
        const state = cell.getAttribute("aria-sort");
        sortBy(table, column, state ? state === "ascending" : cell.classList.contains("n") && column > 0);
      });
    });
    if (rows.length < 12) continue;
    const caption = table.caption.textContent;
    const box = make("input", { type: "search", placeholder: "filter rows", "aria-label": `Filter: ${caption}` });
    const count = make("span", { class: "note", role: "status" });
    const tools = make("p", { class: "tools" });
    tools.append(box, count);
    table.closest(".scroll").before(tools);
    box.addEventListener("input", () => {
      const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((one) => text.includes(one));
        shown += !row.hidden;
      }
      count.textContent = wanted.length ? ` ${shown} of ${rows.length} rows` : "";
    });
  }

  // ---- Print shows what is folded.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.task)")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => opened.forEach((one) => (one.open = false)));
  const reveal = () => {
    let one = location.hash.length > 1 ? $(decodeURIComponent(location.hash.slice(1))) : null;
    for (; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();

  // ---- Numbers as the page writes them.
  // As Python rounds: by the exact value, and ties, which only dyadic fractions are, to even.
  const fixed = (value, digits) => {
    const size = Math.abs(value), tied = Number.isInteger(size * 2 ** (digits + 1)) && (size * 10 ** digits * 2) % 2 === 1;
    if (!tied) return value.toFixed(digits);
    const below = Math.floor(size * 10 ** digits);
    return ((Math.sign(value) * (below + (below % 2))) / 10 ** digits).toFixed(digits);
  };
  const grouped = (value, digits) => {
    const [whole, part] = fixed(value, digits).split(".");
    return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
  };
  const number = (value, digits = 3) => {
    if (isNaN(value)) return "–";
    if (!isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (value === 0) return "0";
    const size = Math.floor(Math.log10(Math.abs(value)));
    if (size >= 9 || size < -4) {
      const [front, power] = value.toExponential(digits - 1).split("e");
      const raised = [...String(Number(power))].map((one) => (one === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[one])).join("");
      return `${front}×10${raised}`.replaceAll("-", "−");
    }
    return grouped(value, Math.max(0, digits - 1 - size)).replaceAll("-", "−");
  };
  const share = (value) => (isNaN(value) ? "–" : grouped(value, 3));
  const chance = (value) => (isNaN(value) ? "–" : value < 0.005 ? "<0.01" : value > 0.995 ? ">0.99" : grouped(value, 2));
  const interval = ([mean, low, high], write = share) => (isNaN(mean) ? "–" : `${write(mean)} (${write(low)} to ${write(high)})`);
  const plain = (value) => Number(value.toPrecision(10)).toLocaleString("en-US", { maximumFractionDigits: 10 });
  const UNITS = { tokens: "tokens", flops: "FLOP", joules: "J", seconds: "s" };

  // ---- The draws.
  const ask = $("ask");
  if (!ask) return;
  const given = JSON.parse(ask.dataset.draws);
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer;
  const D = given.draws, K = given.options.length;
  const success = new Float32Array(bytes(given.success));
  const costs = given.priced ? new Float32Array(bytes(given.costs)) : null;
  const steps = given.prices ? new Uint16Array(bytes(given.tokens)) : null;
  const bound = given.options.map((one) => one.bound);
  const spec = { cap: given.cap, target: given.target, confidence: given.confidence, margin: given.margin, prices: given.prices };
  const amount = (value, exact = false) => {
    const said = exact ? plain(value) : number(value);
    return given.cost === "usd" ? `USD ${said}` : `${said} ${UNITS[given.cost]}`;
  };

  // Cost at other prices: what generated tokens do not explain of it are prompts, which go with their own price.
  const priced = (prices) => {
    if (!costs || !prices) return costs;
    const same = (model) => !prices[model] || prices[model].every((one, place) => one === given.prices[model][place]);
    if (given.options.every((one) => same(one.model))) return costs;
    const result = Float64Array.from(costs);
    given.options.forEach(({ model }, k) => {
      if (same(model)) return;
      const [input, output] = given.prices[model], [newInput, newOutput] = prices[model];
      const [low, high] = given.ends[k];
      for (let d = k * D; d < (k + 1) * D; d++) {
        const generated = Math.exp(low + ((high - low) * steps[d]) / 65535) / 1e6;
        const prompts = Math.max(costs[d] - output * generated, 0);
        result[d] = newOutput * generated + (input > 0 ? (prompts * newInput) / input : 0);
      }
    });
    return result;
  };
  const mean = (values, k) => {
    let total = 0;
    for (let d = k * D; d < (k + 1) * D; d++) total += values[d];
    return total / D;
  };
  const quantile = (sorted, p) => {
    const at = (sorted.length - 1) * p, below = Math.floor(at);
    return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
  };
  const summary = (values, k) => {
    const sorted = Float64Array.from(values.subarray(k * D, (k + 1) * D)).sort();
    const middle = mean(values, k);
    return [middle, Math.min(quantile(sorted, 0.05), middle), Math.max(quantile(sorted, 0.95), middle)];
  };
  const successes = given.options.map((_, k) => summary(success, k));

  // As `best`, `cheapest` and `frontier` of Python, on the same draws.
  const decide = ({ cap, target, confidence, margin, prices }) => {
    const cost = priced(prices);
    const limit = cap === null ? Infinity : Math.fround(cap), aim = Math.fround(target);
    const zero = () => new Float64Array(K);
    const [best, regret, affordable, candidate, reach, front] = Array.from({ length: 6 }, zero);
    const level = new Float64Array(K), order = [...Array(K).keys()];
    for (let d = 0; d < D; d++) {
      let top = -1, winners = 0;
      for (let k = 0; k < K; k++) {
        const value = success[k * D + d], within = !cost || cap === null || cost[k * D + d] <= limit;
        affordable[k] += within;
        reach[k] += value >= aim;
        level[k] = within && !bound[k] ? value : -1;
        candidate[k] += level[k] >= 0;
        if (level[k] > top) [top, winners] = [level[k], 1];
        else if (level[k] === top && top >= 0) winners++;
      }
      const highest = Math.max(top, 0);
      for (let k = 0; k < K; k++) {
        if (top >= 0 && level[k] === top) best[k] += 1 / winners;
        regret[k] += highest - Math.max(level[k], 0);
      }
      if (!cost) continue;
      const at = (k) => cost[k * D + d], of = (k) => (bound[k] || isNaN(at(k)) ? -1 : success[k * D + d]);
      // An option without a cost is on no frontier.
      const key = (k) => (bound[k] || isNaN(at(k)) ? Infinity : at(k));
      order.sort((a, b) => (key(a) === key(b) ? of(b) - of(a) : key(a) - key(b)));
      undominated(order, at, of, (k) => (front[k] += 1));
    }
    for (const one of [best, regret, affordable, candidate, reach, front]) one.forEach((value, k) => (one[k] = value / D));
    const cheap = given.options.map((_, k) => (cost ? mean(cost, k) : NaN));
    const every = [...Array(K).keys()], allowed = every.filter((k) => candidate[k] > 0);
    const result = { best, regret, affordable, reach, front, cheap, cost, tied: [], chosen: -1, enough: -1, nearly: [], first: -1 };
    if (allowed.length) {
      const order = [...allowed].sort(
        (a, b) => regret[a] - regret[b] || candidate[b] - candidate[a] || (cheap[a] || 0) - (cheap[b] || 0) || a - b
      );
      const first = order[0];
      const most = Math.min(margin, 0.1 * successes[first][0]);
      result.first = first;
      result.tied = allowed.filter((k) => regret[k] <= regret[first] + most + 1e-12);
      const known = result.tied.filter((k) => isFinite(cheap[k]));
      const least = known.reduce((a, b) => (a < 0 || cheap[b] < cheap[a] ? b : a), -1);
      result.chosen = least >= 0 && !(cheap[least] >= cheap[first]) ? least : first;
    }
    if (cost) {
      const real = every.filter((k) => !bound[k] && isFinite(cheap[k]));
      const suffices = real.filter((k) => reach[k] >= confidence);
      const lowest = (among) => among.reduce((a, b) => (a < 0 || cheap[b] < cheap[a] ? b : a), -1);
      result.enough = lowest(suffices);
      result.likeliest = real.reduce((a, b) => (a < 0 || reach[b] > reach[a] ? b : a), -1);
      const beside = result.enough >= 0 ? result.enough : result.likeliest;
      result.nearly = real.filter(
        (k) => !suffices.includes(k) && successes[k][0] >= target - margin && cheap[k] <= given.fraction * cheap[beside]
      );
      result.onFront = [];
      const means = [...real].sort((a, b) => cheap[a] - cheap[b] || successes[b][0] - successes[a][0]);
      undominated(means, (k) => cheap[k], (k) => successes[k][0], (k) => result.onFront.push(k));
    }
    return result;
  };
  // Of options sorted by cost, those that none beats; equals of one cost are kept together.
  const undominated = (order, cost, value, keep) => {
    let cheaper = -Infinity, highest = -Infinity, last = NaN, top = NaN;
    for (const k of order) {
      const at = cost(k), of = value(k);
      if (at !== last) [cheaper, last, top] = [highest, at, of];
      if (of >= 0 && of > cheaper && of === top) keep(k);
      highest = Math.max(highest, of);
    }
  };

  // ---- Words, those of Python.
  const option = (k) => given.options[k].name;
  const money = (k, cost) => {
    const [middle, low, high] = summary(cost, k);
    return `${amount(middle)} (${number(low)} to ${number(high)}) per task`;
  };
  const choice = (found, asked) => {
    const limit = !costs ? "by success alone" : asked.cap === null ? "at any cost" : `for at most ${amount(asked.cap, true)} per task`;
    if (found.chosen < 0) {
      const least = found.cheap.reduce((a, cost, k) => (bound[k] || isNaN(cost) || (a >= 0 && cost >= found.cheap[a]) ? a : k), -1);
      return `No option is within the cap of ${amount(asked.cap, true)} per task; the cheapest is ${option(least)}, ${amount(found.cheap[least])}.`;
    }
    const k = found.chosen, top = found.first;
    const paid = found.cost && isFinite(found.cheap[k]) ? ` for ${money(k, found.cost)}` : "";
    const said = `Best ${limit}: ${option(k)}, with success ${interval(successes[k])}${paid}`;
    if (k !== top) {
      const gap = Float64Array.from({ length: D }, (_, d) => success[top * D + d] - success[k * D + d]);
      const signed = (value) => `${value < 0 ? "−" : "+"}${grouped(Math.abs(value), 3)}`;
      const sorted = gap.slice().sort(), middle = gap.reduce((a, b) => a + b, 0) / D;
      const ends = [Math.min(quantile(sorted, 0.05), middle), Math.max(quantile(sorted, 0.95), middle)];
      return `${said}. It is the cheapest of ${found.tied.length} options practically tied within ${plain(asked.margin)} of expected success: ` +
        `the most successful of them, ${option(top)}, has ${signed(middle)} (${signed(ends[0])} to ${signed(ends[1])}) and costs ` +
        `${number(found.cheap[top] / found.cheap[k], 2)} times as much.`;
    }
    const lost = `it is the best option with probability ${chance(found.best[k])}, and choosing it loses ${share(found.regret[k])} of success on average.`;
    if (found.tied.length > 1) {
      const next = [...found.tied].sort((a, b) => found.regret[a] - found.regret[b])[1];
      return `${said}; ${lost} Practically tied within ${plain(asked.margin)} of expected success are ${found.tied.length} options; ` +
        (costs ? "it is the cheapest of them." : `the next is ${option(next)}.`);
    }
    const likeliest = found.best.reduce((a, p, one) => (p > found.best[a] ? one : a), k);
    if (likeliest === k) return `${said}; ${lost}`;
    const over = found.affordable[likeliest];
    return `${said}; ${lost} ${option(likeliest)} is more often the best (probability ${chance(found.best[likeliest])}), but loses ` +
      `${share(found.regret[likeliest])} on average${over < 1 ? `, being over the cap with probability ${chance(1 - over)}` : ""}.`;
  };
  const enough = (found, asked) => {
    if (!found.cost) return "";
    const aim = `success ${plain(asked.target)} with probability at least ${plain(asked.confidence)}`;
    const k = found.enough >= 0 ? found.enough : found.likeliest;
    let said = found.enough >= 0
      ? `Cheapest that reaches ${aim}: ${option(k)}, for ${money(k, found.cost)}.`
      : `No option reaches ${aim}; the nearest is ${option(k)}, with probability ${chance(found.reach[k])}.`;
    if (found.nearly.length) {
      const near = found.nearly.reduce((a, b) => (found.cheap[b] < found.cheap[a] ? b : a));
      said += ` ${option(near)} nearly does, for ${number(found.cheap[near] / found.cheap[k], 2)} of that price: success ` +
        `${interval(successes[near])}, ${plain(asked.target)} reached with probability ${chance(found.reach[near])}.`;
    }
    return said;
  };

  // ---- What is shown of it: sentences, cells of the table, marks of the picture.
  const table = $("options");
  const spoken = [$("answer-choice").textContent, $("answer-enough").textContent];
  const rowOf = new Map([...table.tBodies[0].rows].map((row) => [Number(row.dataset.number), row]));
  const write = (row, key, text) => {
    const cell = row.querySelector(`[data-key="${key}"]`);
    if (cell && cell.textContent !== text) cell.textContent = text;
  };
  const show = (asked, found, atSpec) => {
    const said = [choice(found, asked), enough(found, asked)];
    [$("answer-choice").textContent, $("answer-enough").textContent] = atSpec ? spoken : said;
    $("answer-note").hidden = atSpec;
    const several = found.tied.length > 1;
    given.options.forEach(({ number: n }, k) => {
      const row = rowOf.get(n);
      if (!row) return;
      write(row, "p_best", bound[k] ? "bound" : chance(found.best[k]));
      const words = k === found.chosen ? ", chosen" : several && found.tied.includes(k) ? ", tied" : "";
      write(row, "regret", bound[k] ? "–" : share(found.regret[k]) + words);
      write(row, "p_affordable", chance(found.affordable[k]));
      write(row, "p_reach", chance(found.reach[k]));
      write(row, "p_frontier", bound[k] ? "–" : chance(found.front[k]));
      if (found.cost) write(row, "cost", interval(summary(found.cost, k), number));
      row.classList.toggle("chosen", k === found.chosen);
    });
    const head = (key) => table.querySelector(`th[data-key="${key}"]`);
    const title = head("p_reach").querySelector("button") ?? head("p_reach");
    title.textContent = `P(success ≥ ${plain(asked.target)})`;
    const reached = table.querySelectorAll('[data-key="to_reach"]');
    for (const one of reached) one.classList.toggle("stale", !atSpec);
    for (const svg of document.querySelectorAll("#asked svg.costs")) draw(svg, asked, found);
    $("ask-numbers").textContent = JSON.stringify({
      chosen: found.chosen < 0 ? "" : option(found.chosen), enough: found.enough < 0 ? "" : option(found.enough),
      p_best: [...found.best], regret: [...found.regret], p_affordable: [...found.affordable],
      p_reach: [...found.reach], p_frontier: [...found.front], on_frontier: (found.onFront ?? []).map(option),
      tied: found.tied.map(option), nearly: found.nearly.map(option), said, draws: D,
    });
  };
  const draw = (svg, asked, found) => {
    const of = (name) => Number(svg.getAttribute(`data-${name}`));
    const place = (axis, value, log) => {
      const [low, high, start, end] = ["low", "high", "start", "end"].map((one) => of(`${axis}-${one}`));
      const f = log ? (one) => Math.log(Math.max(one, 1e-300)) : (one) => one;
      return start + Math.min(Math.max((f(value) - f(low)) / (f(high) - f(low)), 0), 1) * (end - start);
    };
    const x = (value) => place("x", value, of("log") === 1), y = (value) => place("y", value, false);
    const cap = svg.querySelector(".cap");
    cap.setAttribute("visibility", asked.cap === null ? "hidden" : "visible");
    if (asked.cap !== null) cap.setAttribute("transform", `translate(${x(asked.cap)},0)`);
    svg.querySelector(".target").setAttribute("transform", `translate(0,${y(asked.target)})`);
    const points = (found.onFront ?? []).map((k) => [x(found.cheap[k]), y(successes[k][0])]).sort((a, b) => a[0] - b[0]);
    const path = points.map(([a, b], place) => (place ? `H${a}V${b}` : `M${a},${b}`)).join("");
    svg.querySelector(".front").setAttribute("d", path || "M0,0");
    for (const group of svg.querySelectorAll("g.option")) {
      const k = Number(group.dataset.n) - 1;
      group.classList.toggle("chosen", k === found.chosen);
      group.classList.toggle("beyond", found.affordable[k] === 0);
      if (found.cost !== costs || group.hasAttribute("transform")) {
        // Bars keep their length: on the axis of a logarithm a price moves all of an option alike.
        const shift = x(found.cheap[k]) - x(mean(costs, k));
        group.setAttribute("transform", `translate(${shift},0)`);
      }
    }
  };

  // ---- Controls.
  const SPAN = 1000;
  const known = costs ? costs.filter(isFinite) : [];
  const [cheapest, dearest] = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [1, 1];
  const [lowest, highest] = [Math.log(Math.max(cheapest * 0.9, 1e-12)), Math.log(Math.max(dearest * 1.1, 1e-11))];
  const boxes = { cap: $("ask-cap"), target: $("ask-target"), confidence: $("ask-confidence"), margin: $("ask-margin") };
  const slide = { cap: $("ask-cap-slider"), target: $("ask-target-slider") };
  const priceBoxes = [...document.querySelectorAll("#ask-prices input")];
  const valid = (box) => {
    const value = Number(box.value), good = box.value !== "" && value >= Number(box.min) && (box.max === "" || value <= Number(box.max));
    box.setAttribute("aria-invalid", String(!good));
    return good ? value : null;
  };
  const read = () => {
    const capless = !boxes.cap || boxes.cap.value === "";
    const asked = { ...spec, cap: null };
    if (!capless) asked.cap = valid(boxes.cap) || null;
    for (const name of ["target", "confidence", "margin"]) asked[name] = valid(boxes[name]) ?? spec[name];
    if (given.prices) {
      asked.prices = structuredClone(given.prices);
      for (const box of priceBoxes) {
        const value = valid(box);
        if (value !== null) asked.prices[box.dataset.model][Number(box.dataset.place)] = value;
      }
    }
    return asked;
  };
  const same = (asked) => ["cap", "target", "confidence", "margin"].every((name) => asked[name] === spec[name]) &&
    JSON.stringify(asked.prices) === JSON.stringify(spec.prices);
  const slides = () => {
    if (slide.cap) slide.cap.value = boxes.cap.value === "" ? SPAN : (SPAN * (Math.log(Number(boxes.cap.value)) - lowest)) / (highest - lowest);
    slide.target.value = boxes.target.value;
  };
  let waiting = 0;
  const refresh = () => {
    // A slider says more than can be decided: what came last counts.
    clearTimeout(waiting);
    const asked = read();
    waiting = setTimeout(() => show(asked, decide(asked), same(asked)), 0);
  };
  slide.cap?.addEventListener("input", () => {
    const at = Number(slide.cap.value);
    boxes.cap.value = at >= SPAN ? "" : Number(Math.exp(lowest + ((highest - lowest) * at) / SPAN).toPrecision(3));
    refresh();
  });
  slide.target.addEventListener("input", () => {
    boxes.target.value = slide.target.value;
    refresh();
  });
  for (const box of [...Object.values(boxes), ...priceBoxes]) {
    box?.addEventListener("input", () => {
      slides();
      refresh();
    });
  }
  $("ask-reset").addEventListener("click", () => {
    if (boxes.cap) boxes.cap.value = spec.cap ?? "";
    for (const name of ["target", "confidence", "margin"]) boxes[name].value = spec[name];
    for (const box of priceBoxes) box.value = given.prices[box.dataset.model][Number(box.dataset.place)];
    slides();
    refresh();
  });
  slides();
  ask.hidden = false;
  if (given.draws === given.of) show(spec, decide(spec), true);
})();

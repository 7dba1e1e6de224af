"use strict";
// The timeline with zoom, and buttons that copy SQL. The page says everything without it.
const page = (() => {
	const dark = matchMedia("(prefers-color-scheme: dark)");
	let data, steps;
	let live, box, shownRange;
	// What is shown: indices of steps, the second one exclusive.
	let first, end;
	// The same as times, which other data has too; null: everything.
	let zoomed = null;
	let series = "connections";
	let chart = null;

	const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
	// Seconds, moved by the zone's offset, so that the chart may take them for UTC.
	const second = step => (data.start + step * data.step) / 1000 + data.offset;
	const stepAt = s => Math.round(((s - data.offset) * 1000 - data.start) / data.step);
	const time = s => new Date(Math.round(s * 1000)).toISOString().slice(0, 19).replace("T", " ");
	const date = "\n{MM}-{DD}";
	// Formats of the axis by the distance of its ticks in seconds, as uPlot takes them.
	const clock = (distance, format, year, day) => [distance, format, year, null, day, null, null, null, 1];
	const times = [
		clock(31536000, "{YYYY}", null, null),
		clock(2419200, "{YYYY}-{MM}", null, null),
		clock(86400, "{MM}-{DD}", "\n{YYYY}", null),
		clock(60, "{HH}:{mm}", date, date),
		clock(1, "{HH}:{mm}:{ss}", date, date),
		clock(0.001, "{HH}:{mm}:{ss}.{fff}", date, date),
	];
	// Distances of ticks that are round in units of 1024.
	const powers = Array.from({ length: 62 }, (_, n) => 2 ** n);
	const number = n => n.toLocaleString("en-US");

	function bytes(n) {
		const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
		let unit = 0;
		while (n >= 1024 && unit < units.length - 1) {
			n /= 1024;
			unit += 1;
		}
		return (unit === 0 || n === Math.round(n) ? String(Math.round(n)) : n.toFixed(1)) + " " + units[unit];
	}

	// Sums of as many steps as make bars that can be seen.
	function binned() {
		const bars = Math.max(12, Math.floor(box.clientWidth / 6));
		const wide = Math.max(1, Math.ceil((end - first) / bars));
		const names = series === "bytes" ? ["tx_bytes", "rx_bytes"] : ["connections", "failed"];
		const rows = [[], [], []];
		for (let at = first; at < end; at += wide) {
			const to = Math.min(at + wide, end);
			rows[0].push(second(at));
			names.forEach((name, i) => {
				let sum = 0;
				for (let n = at; n < to; n++) sum += data[name][n];
				rows[i + 1].push(sum);
			});
		}
		return { rows, wide };
	}

	function shade(u) {
		const { ctx, bbox } = u;
		ctx.save();
		ctx.fillStyle = colour("--gap");
		for (const [from, to] of data.gaps) {
			const x = ms => Math.min(Math.max(u.valToPos(ms / 1000 + data.offset, "x", true), bbox.left), bbox.left + bbox.width);
			const [a, b] = [x(from), x(to)];
			const outside = to / 1000 + data.offset < u.scales.x.min || from / 1000 + data.offset > u.scales.x.max;
			if (!outside) ctx.fillRect(a, bbox.top, Math.max(b - a, 2), bbox.height);
		}
		ctx.restore();
	}

	function draw() {
		const { rows, wide } = binned();
		const value = series === "bytes" ? bytes : number;
		const bars = uPlot.paths.bars({ size: [0.85, 100], align: 1 });
		const line = uPlot.paths.stepped({ align: 1 });
		const paths = series === "bytes" ? line : bars;
		const [one, two] = series === "bytes"
			? [["sent", "--c1"], ["received", "--c0"]]
			: [["connections", "--all"], ["failed", "--failed"]];
		const item = ([label, name]) => ({
			label,
			paths,
			points: { show: false },
			stroke: colour(name),
			fill: series === "bytes" ? undefined : colour(name),
			width: series === "bytes" ? 2 : 0,
			value: (u, v) => v == null ? "–" : value(v),
		});
		const axis = {
			stroke: colour("--quiet"),
			grid: { stroke: colour("--line"), width: 1 },
			ticks: { stroke: colour("--line"), width: 1 },
		};
		const options = {
			width: box.clientWidth,
			height: 260,
			tzDate: s => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
			scales: {
				x: { time: true, min: second(first), max: second(end), auto: false, range: () => [second(first), second(end)] },
				y: { range: (u, min, max) => [0, max > 0 ? max * 1.08 : 1] },
			},
			series: [
				{ label: "from", value: (u, v) => v == null ? "–" : time(v) },
				item(one),
				item(two),
			],
			axes: [{ ...axis, values: times, space: 90 }, { ...axis, size: 76, ...(series === "bytes" ? { incrs: powers } : {}), values: (u, values) => values.map(v => series === "bytes" ? bytes(v) : Number.isInteger(v) ? number(v) : "") }],
			cursor: { drag: { x: true, y: false, setScale: false }, y: false },
			hooks: {
				drawClear: [shade],
				setSelect: [u => {
					if (u.select.width < 4) return;
					const from = stepAt(u.posToVal(u.select.left, "x"));
					const to = stepAt(u.posToVal(u.select.left + u.select.width, "x"));
					show(from, to);
				}],
			},
		};
		if (chart) chart.destroy();
		chart = new uPlot(options, rows, box);
		shownRange.textContent = first === 0 && end === steps ? "" : `Shown: ${time(second(first))} to ${time(second(end))}.`;
	}

	function show(from, to) {
		const least = Math.min(4, steps);
		from = Math.max(0, Math.min(from, steps - least));
		to = Math.min(steps, Math.max(to, from + least));
		[first, end] = [from, to];
		const at = step => data.start + step * data.step;
		zoomed = from === 0 && to === steps ? null : [at(from), at(to)];
		draw();
	}

	function zoom(how) {
		const width = end - first;
		const quarter = Math.max(1, Math.round(width / 4));
		switch (how) {
			case "in": return show(first + quarter, end - quarter);
			case "out": return show(first - Math.ceil(width / 2), end + Math.ceil(width / 2));
			case "left": { const by = Math.min(quarter, first); return show(first - by, end - by); }
			case "right": { const by = Math.min(quarter, steps - end); return show(first + by, end + by); }
			default: return show(0, steps);
		}
	}

	// Takes the data that the document has now. The zoom stays where it was in time.
	function read() {
		for (const button of document.querySelectorAll(".copy")) button.hidden = false;
		const element = document.getElementById("data");
		if (typeof uPlot === "undefined" || !element) return;
		data = JSON.parse(element.textContent);
		steps = data.connections.length;
		if (live !== document.getElementById("live")) prepare();
		if (!zoomed) return show(0, steps);
		show(...zoomed.map(time => Math.round((time - data.start) / data.step)));
	}

	function prepare() {
		live = document.getElementById("live");
		box = document.getElementById("chart");
		shownRange = document.getElementById("range");
		if (chart) chart.destroy();
		chart = null;
		live.hidden = false;
		document.documentElement.classList.add("live-chart");
		for (const button of live.querySelectorAll("[data-zoom]")) {
			button.addEventListener("click", () => zoom(button.dataset.zoom));
		}
		for (const input of live.querySelectorAll("[name=series]")) {
			input.checked = input.value === series;
			input.addEventListener("change", () => { series = input.value; draw(); });
		}
		const keys = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all", Home: "all", Escape: "all" };
		box.addEventListener("keydown", event => {
			if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
			event.preventDefault();
			zoom(keys[event.key]);
		});
		box.addEventListener("dblclick", () => zoom("all"));
		let width = box.clientWidth;
		new ResizeObserver(() => {
			if (box.clientWidth === width) return;
			width = box.clientWidth;
			requestAnimationFrame(draw);
		}).observe(box);
	}

	dark.addEventListener("change", () => { if (chart) draw(); });
	document.addEventListener("click", async event => {
		const button = event.target.closest(".copy");
		if (!button) return;
		const sql = button.parentElement.querySelector("pre");
		try {
			await navigator.clipboard.writeText(sql.textContent);
		} catch {
			getSelection().selectAllChildren(sql);
			document.execCommand("copy");
		}
		button.textContent = "Copied";
		setTimeout(() => { button.textContent = "Copy"; }, 1500);
	});
	read();
	return { read };
})();

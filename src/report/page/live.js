// Asks for the report again and again, and puts what has changed into the document.
(() => {
	const report = document.getElementById("report");
	const form = document.getElementById("ask");
	const question = form.elements.q;
	const since = form.elements.since;
	const refused = document.getElementById("refused");
	const state = document.getElementById("state");
	const updated = document.getElementById("updated");
	const pause = document.getElementById("pause");
	// How long to wait, in seconds, unless the server says so.
	const USUALLY = 2, AFTER_ERROR = 5;
	let token = "", tag = null;
	let paused = false, dragging = false;
	let timer = null, asking = null;
	let shownSearch = null;

	// The token comes behind #, which browsers keep from servers, and leaves the address at once.
	// Session storage is this tab's and this origin's; cookies are sent to other ports, too.
	function login() {
		const found = /^#token=([\w-]+)$/.exec(location.hash);
		try {
			if (found) sessionStorage.setItem("token", found[1]);
			token = sessionStorage.getItem("token") ?? "";
		} catch {
			if (found) token = found[1];
		}
		if (found) history.replaceState(null, "", location.pathname + location.search);
		return found;
	}

	function readAddress() {
		shownSearch = location.search;
		const wanted = new URLSearchParams(location.search);
		question.value = wanted.get("q") ?? "";
		const text = wanted.get("since") ?? "1h";
		if (![...since.options].some(option => option.value === text)) since.add(new Option(text, text));
		since.value = text;
		change();
	}

	// Another view: nothing of the last one counts.
	function change() {
		tag = null;
		report.setAttribute("aria-busy", "true");
		ask();
	}

	async function ask() {
		clearTimeout(timer);
		asking?.abort();
		const mine = asking = new AbortController();
		let wait = AFTER_ERROR;
		try {
			wait = await exchange(mine.signal);
		} catch (error) {
			if (mine.signal.aborted) return;
			say("'egrets serve' does not answer: it may have ended. What is below is what it last said.");
		}
		if (mine === asking && wait !== null) schedule(wait);
	}

	// Returns after how many seconds to ask again; null: not before something changes.
	async function exchange(signal) {
		const wanted = new URLSearchParams({ q: question.value, since: since.value });
		const headers = { Authorization: `Bearer ${token}` };
		if (tag) headers["If-None-Match"] = tag;
		const response = await fetch(`view?${wanted}`, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" });
		const text = response.status === 304 ? "" : await response.text();
		if (signal.aborted) return null;
		switch (response.status) {
			case 200:
				refuse("");
				put(text);
				tag = response.headers.get("ETag");
				// fall through
			case 304:
				say("");
				report.removeAttribute("aria-busy");
				return read(response.headers);
			case 422:
				refuse(text);
				say("");
				updated.textContent = "";
				return null;
			case 403:
				say(text);
				return null;
			default:
				say(text);
				return AFTER_ERROR;
		}
	}

	// Says how old the page is: reading a long history takes a while, and is done seldom.
	function read(headers) {
		const next = Number(headers.get("Retry-After")) || USUALLY;
		const age = Number(headers.get("Age"));
		const time = new Date(Date.now() - age * 1000).toTimeString().slice(0, 8);
		updated.textContent = `updated ${time}` + (next > 5 ? `, next in ${next} s` : "");
		return next;
	}

	function schedule(seconds) {
		clearTimeout(timer);
		if (!paused && !document.hidden) timer = setTimeout(() => dragging ? schedule(0.3) : ask(), seconds * 1000);
	}

	function say(text) {
		if (state.textContent !== text) state.textContent = text;
		state.hidden = text === "";
	}

	function refuse(text) {
		refused.textContent = text;
		refused.hidden = text === "";
		question.setAttribute("aria-invalid", String(text !== ""));
	}

	// Parsing runs no script, and what is parsed is escaped.
	function put(text) {
		const parsed = new DOMParser().parseFromString(text, "text/html");
		morph(report, parsed.body);
		document.title = report.querySelector("h1")?.textContent ?? document.title;
		page.read();
	}

	// Makes an element's content that of another one, and touches only what differs: what is open,
	// scrolled, selected or focused stays so.
	function morph(old, wanted) {
		let at = old.firstChild;
		for (const node of [...wanted.childNodes]) {
			if (!at) {
				old.append(node);
			} else if (at.nodeType !== node.nodeType || at.nodeName !== node.nodeName || (at.id ?? "") !== (node.id ?? "")) {
				const next = at.nextSibling;
				at.replaceWith(node);
				at = next;
			} else {
				if (node.nodeType !== Node.ELEMENT_NODE) {
					if (at.nodeValue !== node.nodeValue) at.nodeValue = node.nodeValue;
				} else if (node.id === "live") {
					const about = node.querySelector("#chart").getAttribute("aria-label");
					at.querySelector("#chart").setAttribute("aria-label", about);
				} else {
					attributes(at, node);
					morph(at, node);
				}
				at = at.nextSibling;
			}
		}
		while (at) {
			const next = at.nextSibling;
			at.remove();
			at = next;
		}
	}

	function attributes(old, wanted) {
		const own = name => name === "open" || name === "hidden";
		for (const { name } of [...old.attributes]) {
			if (!own(name) && !wanted.hasAttribute(name)) old.removeAttribute(name);
		}
		for (const { name, value } of wanted.attributes) {
			if (!own(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
		}
	}

	form.addEventListener("submit", event => {
		event.preventDefault();
		const wanted = new URLSearchParams({ since: since.value });
		if (question.value.trim()) wanted.set("q", question.value.trim());
		if (location.search !== `?${wanted}`) history.pushState(null, "", `${location.pathname}?${wanted}`);
		shownSearch = location.search;
		change();
	});
	since.addEventListener("change", () => form.requestSubmit());
	// The cross that empties the field.
	question.addEventListener("search", () => { if (question.value === "") form.requestSubmit(); });
	pause.addEventListener("click", () => {
		paused = !paused;
		pause.setAttribute("aria-pressed", String(paused));
		if (paused) clearTimeout(timer); else ask();
	});
	// Links to sections change the address behind # alone.
	addEventListener("popstate", () => { if (location.search !== shownSearch) readAddress(); });
	addEventListener("hashchange", () => { if (login()) readAddress(); });
	addEventListener("pointerdown", () => { dragging = true; });
	for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { dragging = false; });
	document.addEventListener("visibilitychange", () => {
		if (!document.hidden && !paused) ask();
		else clearTimeout(timer);
	});

	login();
	readAddress();
})();

//! A real Chromium without a window, driven through its debugging pipe (the Chrome DevTools
//! Protocol): messages of JSON that end with a NUL.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A first start on a busy machine takes long.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    number: u64,
    /// What happened meanwhile.
    events: Vec<Value>,
    _profile: TempDir,
}

/// A tab.
#[derive(Clone)]
pub struct Tab(String);

/// Runs in each document before anything else.
const WATCH: &str = "globalThis.violations = [];
addEventListener('securitypolicyviolation', e => violations.push(`${e.violatedDirective} ${e.blockedURI}`));";

impl Browser {
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        // The pipe's ends are descriptors 3 and 4.
        let script = "for name in chromium chromium-headless-shell; do
            command -v $name >/dev/null && exec $name --headless --no-sandbox --disable-gpu \
                --disable-dev-shm-usage --no-first-run --disable-background-networking \
                --disable-component-update --disable-sync --hide-scrollbars \
                --remote-debugging-pipe --user-data-dir=\"$0\" about:blank 3<&0 4>&1 </dev/null >/dev/null
        done
        echo 'there is no chromium: scripts/setup.sh test installs one' >&2; exit 2";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(profile.path())
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Browser {
            child,
            to,
            from: BufReader::new(from),
            number: 0,
            events: Vec::new(),
            _profile: profile,
        }
    }

    fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut line = message.to_string().into_bytes();
        line.push(0);
        self.to.write_all(&line).unwrap();
        loop {
            let mut message = Vec::new();
            self.from.read_until(0, &mut message).unwrap();
            message.pop();
            let message: Value = serde_json::from_slice(&message)
                .unwrap_or_else(|e| panic!("{method}: the browser has ended: {e}"));
            if message["id"] == self.number {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn of(&mut self, tab: &Tab, method: &str, params: Value) -> Value {
        self.send(Some(&tab.0), method, params)
    }

    pub fn open(&mut self, address: &str) -> Tab {
        let target = self.send(None, "Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.send(None, "Target.attachToTarget", attached);
        let tab = Tab(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            self.of(&tab, &format!("{domain}.enable"), json!({}));
        }
        let watch = json!({"source": WATCH});
        self.of(&tab, "Page.addScriptToEvaluateOnNewDocument", watch);
        self.go(&tab, address);
        tab
    }

    /// Brings it to the front: others are hidden.
    pub fn show(&mut self, tab: &Tab) {
        self.of(tab, "Page.bringToFront", json!({}));
    }

    fn go(&mut self, tab: &Tab, address: &str) {
        self.of(tab, "Page.navigate", json!({"url": address}));
    }

    /// The value of an expression.
    pub fn get(&mut self, tab: &Tab, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let found = self.of(tab, "Runtime.evaluate", params);
        assert!(
            found.get("exceptionDetails").is_none(),
            "{expression}: {found}"
        );
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, tab: &Tab, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.get(tab, &format!("Boolean({expression})")) != true {
            if Instant::now() > end {
                let text = self.get(tab, "document.body.innerText");
                panic!("never: {expression}\n{text}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Drags the mouse over an element, between two parts of its width.
    pub fn drag(&mut self, tab: &Tab, selector: &str, from: f64, to: f64) {
        let place = self.get(
            tab,
            &format!(
                "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const b = e.getBoundingClientRect(); return [b.left, b.top + b.height / 2, b.width]; }})()"
            ),
        );
        let [left, y, width] = [0, 1, 2].map(|at| place[at].as_f64().unwrap());
        for (kind, part, buttons) in [
            ("mouseMoved", from, 0),
            ("mousePressed", from, 1),
            ("mouseMoved", (from + to) / 2.0, 1),
            ("mouseMoved", to, 1),
            ("mouseReleased", to, 0),
        ] {
            let params = json!({"type": kind, "x": left + width * part, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
            self.of(tab, "Input.dispatchMouseEvent", params);
        }
    }

    pub fn press(&mut self, tab: &Tab, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.of(
                tab,
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key}),
            );
        }
    }

    pub fn resize(&mut self, tab: &Tab, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.of(tab, "Emulation.setDeviceMetricsOverride", params);
    }

    pub fn prefer(&mut self, tab: &Tab, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.of(
            tab,
            "Emulation.setEmulatedMedia",
            json!({"features": features}),
        );
    }

    /// Shows a tab as it is printed, and prints it. Returns the PDF, in Base64.
    pub fn print(&mut self, tab: &Tab) -> String {
        self.of(tab, "Emulation.setEmulatedMedia", json!({"media": "print"}));
        let printed = self.of(tab, "Page.printToPDF", json!({}));
        printed["data"].as_str().unwrap().to_owned()
    }

    /// What went wrong in a tab: violations of its policy, errors, dialogs.
    pub fn complaints(&mut self, tab: &Tab) -> Vec<String> {
        let violations = self.get(tab, "violations");
        let mut found = Vec::new();
        found.extend(violations.as_array().unwrap().iter().map(Value::to_string));
        for event in &self.events {
            let of_tab = event["sessionId"] == tab.0.as_str();
            let bad = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => true,
                "Log.entryAdded" => {
                    let entry = &event["params"]["entry"];
                    // Refused requests are no errors of the page.
                    entry["level"] == "error" && entry["source"] != "network"
                }
                _ => false,
            };
            if of_tab && bad {
                found.push(event.to_string());
            }
        }
        found
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

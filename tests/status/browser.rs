//! A real browser, driven by W3C WebDriver (<https://www.w3.org/TR/webdriver2/>).

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common;

/// Chromium with one page.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts it; none where this machine has none, which is said.
    pub(crate) fn start() -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = driver else {
            common::skipped(
                "there is no chromedriver; Debian has `chromium` and `chromium-driver`",
            );
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let port = port.expect("chromedriver says on which port it is");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let mut arguments = vec![format!("--user-data-dir={}", browser._profile.path().display())];
        let flags = "headless=new no-sandbox disable-gpu disable-quic no-first-run no-proxy-server \
                     disable-background-networking disable-component-update disable-sync \
                     disable-dev-shm-usage";
        arguments.extend(flags.split_whitespace().map(|flag| format!("--{flag}")));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.call("POST", "/session", &capabilities);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What was written to the console since it was last read.
    pub(crate) fn console(&self) -> Value {
        self.post("/se/log", &json!({"type": "browser"}))
    }

    /// Another width of the window and another colour scheme; a picture of the whole page (PNG in
    /// base64).
    pub(crate) fn picture(&self, width: u32, scheme: &str) -> String {
        let devtools = |command: &str, parameters: Value| {
            self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
        };
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        devtools("Emulation.setEmulatedMedia", json!({"features": [feature]}));
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        devtools("Emulation.setDeviceMetricsOverride", size);
        let picture = json!({"captureBeyondViewport": true, "format": "png"});
        devtools("Page.captureScreenshot", picture)["data"].as_str().unwrap().to_owned()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (head, body) = self.exchange(method, path, body).unwrap();
        assert!(head.contains(" 200 "), "{method} {path}: {body:.2000}");
        serde_json::from_str::<Value>(&body).unwrap()["value"].take()
    }

    /// Head and body of the answer.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<(String, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        // The driver leaves the connection open.
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok((head, String::from_utf8(body).map_err(io::Error::other)?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without it the browser would outlive its driver.
        let _ = self.exchange("DELETE", &self.session, &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Keeps a picture, where somebody wants to look at it.
pub(crate) fn keep(name: &str, base64: &str) {
    let Some(folder) = std::env::var_os("RINGMILL_SHOTS") else { return };
    let path = Path::new(&folder).join(format!("{name}.png"));
    let text = path.with_extension("base64");
    fs::write(&text, base64).unwrap();
    let input = fs::File::open(&text).unwrap();
    let output = Command::new("base64").arg("-d").stdin(input).stderr(Stdio::null()).output();
    fs::write(path, output.unwrap().stdout).unwrap();
    fs::remove_file(text).unwrap();
}

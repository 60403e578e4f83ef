//! Chromium's driver, and by it Chromium.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use landfall_tests::guest::children;
use landfall_tests::lab::{Folder, free_port, has_program};
use landfall_tests::{Connection, DEADLINE, Lab, skip, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A name of this machine that browsers do not take for this machine's: what they load from there is as
/// from anywhere in the network (W3C Secure Contexts, 3.1).
pub(crate) const ANOTHER_NAME: &str = "machine.test";

/// Chromium's driver, and by it Chromium, which end with this value.
pub(crate) struct Driver {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Driver {
    pub(crate) fn start(lab: &Lab) -> Option<Self> {
        if !has_program("chromium") || !has_program("chromedriver") {
            skip("this needs Chromium and its driver (packages chromium and chromium-driver)");
            return None;
        }
        let (port, folder) = (free_port(), lab.folder());
        let mut command = lab.supervised("chromedriver");
        command.arg(format!("--port={port}"));
        // Whatever it keeps for its user goes away with the folder.
        command
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("the tool can be started");
        let driver = Self {
            child,
            port,
            folder,
        };
        wait_until("Chromium's driver", DEADLINE, || {
            TcpStream::connect(driver.address()).ok()
        });
        Some(driver)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Opens a browser that nobody has used before; `user` tells browsers apart.
    pub(crate) async fn open(&self, user: &str) -> Client {
        let profile = self.folder.path().join("profiles").join(user);
        let profile = format!("--user-data-dir={}", profile.display());
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,900",
            &format!("--host-resolver-rules=MAP {ANOTHER_NAME} 127.0.0.1"),
            &profile,
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("it is one").clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let url = format!("http://{}", self.address());
        builder
            .capabilities(capabilities)
            .connect(&url)
            .await
            .expect("Chromium starts")
    }

    /// Takes what Chromium has noted since the last time: its driver's own command, which is no part of
    /// WebDriver.
    pub(crate) fn log(&self, session: &str, kind: &str) -> Vec<Value> {
        let body = json!({ "type": kind }).to_string();
        let mut connection = Connection::open(self.address()).expect("the driver listens");
        let request = format!(
            "POST /session/{session}/se/log HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        );
        connection.send(request).expect("the driver reads");
        let answer = connection.response("POST").expect("an answer").json();
        answer["value"]
            .as_array()
            .unwrap_or_else(|| panic!("no log: {answer}"))
            .clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Chromium's processes outlive a driver that is killed.
        let mut processes = vec![self.child.id()];
        let mut next = 0;
        while let Some(process) = processes.get(next) {
            processes.extend(children(*process));
            next += 1;
        }
        for process in processes {
            // Some end with others.
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        // Its last files are written until its last process is gone.
        let end = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir_all(self.folder.path().join("profiles")).is_err()
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Lets Chromium do what `session` has it do.
pub(crate) fn browse(driver: &Driver, session: impl AsyncFnOnce(&Client)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = driver.open("player").await;
        session(&client).await;
        client.close().await.expect("Chromium ends");
    });
}

/// Keeps a picture of what the browser shows beside the images.
pub(crate) async fn keep_screenshot(client: &Client, lab: &Lab, name: &str) {
    // Tiles slide and pop for a moment; a picture of that would be another one each time.
    let settle = "const done = arguments[0];
        Promise.all(document.getAnimations().map((it) => it.finished.catch(() => 0))).then(() => done(1));";
    client
        .execute_async(settle, Vec::new())
        .await
        .expect("animations end");
    let picture = client.screenshot().await.expect("a picture");
    std::fs::write(lab.keepsakes().join(name), picture).expect("the folder can be written to");
}

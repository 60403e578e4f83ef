//! The thermometer's page: it shows each reading as it comes, and a gap where the sensor did not answer.

use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use landfall_tests::{DEADLINE, Lab};
use serde_json::Value;

use super::assert_stays_at_home;
use super::driver::{Driver, browse, keep_screenshot};

/// What the page shows.
async fn shown(client: &Client) -> Value {
    const LOOK: &str = "
        const page = document.getElementById('page').dataset;
        const text = (id) => document.getElementById(id).textContent;
        const root = document.documentElement;
        return { state: page.state, readings: Number(page.readings), failed: Number(page.failed),
                 value: text('value'), said: text('state'), summary: text('summary'), served: text('served'),
                 lines: document.querySelectorAll('#chart .line').length,
                 gaps: document.querySelectorAll('#chart .gap').length,
                 fits: root.scrollWidth <= root.clientWidth };";
    client
        .execute(LOOK, Vec::new())
        .await
        .expect("the page runs scripts")
}

/// Waits until what the page shows fits.
async fn wait_for(client: &Client, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let shown = shown(client).await;
        if fits(&shown) {
            return shown;
        }
        assert!(Instant::now() < end, "no {what}: {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn number(shown: &Value, name: &str) -> u64 {
    let number = shown[name].as_u64();
    number.unwrap_or_else(|| panic!("no {name}: {shown}"))
}

#[test]
fn a_browser_shows_the_thermometer() {
    let Some(lab) = Lab::open() else { return };
    let Some(driver) = Driver::start(&lab) else {
        return;
    };
    let machine = lab.machine("thermometer").board("virt");
    let mut guest = machine
        .argument("interval=250ms")
        .argument("fail=25")
        .start();
    let address = guest.wait_until_it_listens();
    browse(&driver, async |client| {
        let session = client.session_id().await.expect("the driver answers");
        let session = session.expect("a session");
        client.goto("about:blank").await.expect("it can be left");
        driver.log(&session, "performance");
        let page = format!("http://{address}/");
        client.goto(&page).await.expect("the page loads");

        let first = wait_for(client, "reading", |it| it["state"] == "answers").await;
        assert_eq!(
            first["served"],
            "Served by Landfall on virt, simulated sensor"
        );
        assert_eq!(first["said"], "A reading every 250 ms", "{first}");
        let celsius: f64 = first["value"]
            .as_str()
            .and_then(|it| it.parse().ok())
            .unwrap_or_else(|| panic!("no temperature: {first}"));
        assert!((18.0..=25.0).contains(&celsius), "{first}");

        let silent = wait_for(client, "silence", |it| it["state"] == "silent").await;
        let said = silent["said"].as_str().expect("a text");
        assert!(
            said.starts_with("The sensor does not answer; last reading at "),
            "{said}"
        );
        let gone_on = |it: &Value| it["state"] == "answers" && number(it, "readings") >= 60;
        let later = wait_for(client, "sixty readings", gone_on).await;
        // Each gap parts the line.
        let gaps = number(&later, "gaps");
        assert!(gaps >= 2 && number(&later, "lines") == gaps + 1, "{later}");
        assert_eq!(number(&later, "failed"), gaps, "{later}");
        let summary = later["summary"].as_str().expect("a text");
        assert!(summary.contains(&format!("; {gaps} of ")), "{summary}");
        keep_screenshot(client, &lab, "thermometer.png").await;

        // After a reload the server tells what was.
        client.refresh().await.expect("the page loads");
        wait_for(client, "history", |it| number(it, "readings") >= 60).await;
        let small = client.set_window_size(400, 800).await;
        small.expect("a smaller window");
        wait_for(client, "chart that fits", |it| it["fits"] == true).await;
        keep_screenshot(client, &lab, "thermometer-small.png").await;

        let files = ["style.css", "thermometer.js", "icon.svg", "api/live"];
        assert_stays_at_home(&driver.log(&session, "performance"), address, &files);
        let complaints = driver.log(&session, "browser");
        assert!(complaints.is_empty(), "the console has {complaints:?}");
        let chart = client.find(Locator::Id("chart")).await.expect("a chart");
        let label = chart.attr("aria-labelledby").await.expect("an answer");
        assert_eq!(label.as_deref(), Some("summary"));
    });
    guest.assert_well();
}

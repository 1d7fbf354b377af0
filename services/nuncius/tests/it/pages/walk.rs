//! From an experiment that is written to its report.

use std::time::{Duration, Instant};

use nuncius_schemas::amendment::Change;
use nuncius_schemas::event::EventKind;
use nuncius_schemas::run::RunStatus;
use nuncius_testkit::{Browser, Scheme};

use super::look::{barriers, look, pictures, read, text};
use crate::harness::{System, open_spec, until};
use crate::rest_harness::{Face, ask, follow};

/// Compares what the page shows with what the stream told: the same for the same second, within two seconds.
async fn shows_what_is_told(browser: &mut Browser, address: &str, id: &str) {
    let (address, path) = (address.to_owned(), format!("/api/v1/experiments/{id}/live?after=now"));
    let told = tokio::task::spawn_blocking(move || {
        let mut at = Vec::new();
        let all = follow(&address, &path, None, |told| {
            at.push(Instant::now());
            told.name != "second" || told.data["second"].as_u64() < Some(5)
        });
        (all, at)
    });
    let (all, at) = told.await.unwrap();
    let (last, told_at) = (all.last().unwrap(), at.last().unwrap());
    let second = last.data["second"].as_u64().unwrap();
    let succeeded = last.data["groups"]["so_far_succeeded"][0].as_u64().unwrap();
    let script = "[document.querySelector('[data-told]').textContent, \
                  document.querySelector('[data-tile=succeeded]').textContent]";
    loop {
        let shown = browser.evaluate(script).unwrap();
        let now = shown[0].as_str().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
        if now > second {
            assert!(told_at.elapsed() < Duration::from_secs(2), "after {:?}", told_at.elapsed());
            if now == second + 1 {
                assert_eq!(shown[1].as_str().unwrap().replace(',', ""), succeeded.to_string());
            }
            return;
        }
        assert!(told_at.elapsed() < Duration::from_secs(2), "second {second} is not shown: {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_writes_an_experiment_follows_it_live_and_cancels_it() {
    let mut system = System::start(1).await;
    let address = system.start_stub(&[]);
    let face = Face::start(&system, &[]);
    until("the gateway has read everything", async || (face.get("/readyz").0 == 200).then_some(())).await;
    let mut browser = Browser::start().unwrap();
    look(&mut browser, &face.address, "/new", 1400, Scheme::Light, "new");
    // What is wrong is told by its line and its field.
    let write = |browser: &mut Browser, text: &str, button: &str| {
        let text = serde_json::to_string(text).unwrap();
        let script = format!(
            "document.getElementById('spec').value = {text}; document.querySelector('button[value={button}]').click()"
        );
        browser.evaluate(&script).unwrap();
    };
    write(&mut browser, "groups:\n- target: http://a/\n  rate: many\n  duration: 3s\n", "check");
    let told = until("the problem is shown", async || {
        let told = text(&mut browser, ".problems li");
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert!(told.contains("line 3") && told.contains("rate"), "{told}");
    let spec = open_spec("walk", &address, "50/s", "120s", "");
    write(&mut browser, &spec, "submit");
    until("the page of the run is open", async || {
        let at = read(&mut browser, "location.pathname");
        (at == "/runs/walk").then_some(())
    })
    .await;
    system.wait_for_status("walk", RunStatus::Running).await;
    until("what succeeded is shown as it comes", async || {
        let shown = text(&mut browser, "[data-tile=succeeded]").replace(',', "");
        shown.parse::<u64>().ok().filter(|count| *count >= 100)
    })
    .await;
    shows_what_is_told(&mut browser, &face.address, "walk").await;
    until("how the gate stands is shown", async || {
        let shown = text(&mut browser, "#gates tbody tr");
        (shown.contains("failures < 1% (default)") && shown.contains("holds")).then_some(())
    })
    .await;
    until("the heat map is drawn", async || {
        let script = "[...document.querySelectorAll('.live')].find((figure) => figure.textContent.startsWith('Heat'))";
        let drawn = browser.evaluate(&format!("!({script}).hidden")).unwrap();
        (drawn == true).then_some(())
    })
    .await;
    // Phases are among the marks, and in the list.
    assert!(text(&mut browser, "[data-happened]").contains("running"));
    assert_eq!(barriers(&mut browser), Vec::<String>::new());
    if let Some(directory) = pictures() {
        browser.screenshot(&directory.join("live-1400-light.png")).unwrap();
        browser.screenshot_of_window(&directory.join("live-1400-light-window.png")).unwrap();
    }
    // Another site cannot have it cancelled, nor anybody without saying why.
    let foreign = "origin: http://evil.example\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    assert_eq!(ask(&face.address, "POST", "/runs/walk/cancel", foreign, "reason=x").0, 403);
    let from_elsewhere = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\n";
    assert_eq!(ask(&face.address, "POST", "/new", from_elsewhere, "do=submit&spec=x").0, 403);
    let read_only = Face::start(&system, &["--read-only"]);
    assert_eq!(ask(&read_only.address, "POST", "/new", "", "do=submit&spec=x").0, 403);
    pauses_by_the_form(&mut browser, &system).await;
    let script = "document.querySelector('form[action$=cancel] [name=reason]').value = 'seen enough'; \
                  document.querySelector('button.danger').click()";
    browser.evaluate(script).unwrap();
    let record = system.wait_for_end("walk").await;
    assert_eq!(record.status, RunStatus::Cancelled);
    assert!(record.reason.unwrap().contains("seen enough"));
    until("the page shows the report", async || {
        let badge = text(&mut browser, ".badge");
        badge.contains("CANCELLED").then_some(())
    })
    .await;
    deletes_by_the_form(&mut browser, &system, &face).await;
}

/// The load of the run is changed by the form of its page, which says who and why; the page is there again afterwards.
async fn pauses_by_the_form(browser: &mut Browser, system: &System) {
    let form = "document.querySelector('form[action$=amend]')";
    let script = format!(
        "window.isOld = true; {form}.querySelector('[name=change]').value = 'pause'; \
         {form}.querySelector('[name=reason]').value = 'a look at the target'; {form}.querySelector('button').click()"
    );
    browser.evaluate(&script).unwrap();
    let told = until("the run is paused", async || {
        system.events("walk").await.into_iter().find(|event| event.message.starts_with("pause"))
    })
    .await;
    assert!(told.kind == EventKind::Control && told.message.ends_with(": a look at the target"), "{told:?}");
    let record = system.record("walk").await.unwrap();
    assert_eq!(record.spec.amendments.iter().map(|one| one.change.clone()).collect::<Vec<_>>(), [Change::Pause]);
    until("the page is there again", async || {
        let script = format!("!window.isOld && {form} !== null");
        (browser.evaluate(&script).unwrap() == true).then_some(())
    })
    .await;
}

/// A run that has ended is deleted by whoever writes its id and why, and that is written down.
async fn deletes_by_the_form(browser: &mut Browser, system: &System, face: &Face) {
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for (body, status) in
        [("confirm=walk", 400), ("reason=x", 400), ("confirm=wal&reason=x", 400), ("confirm=walk&reason=x", 403)]
    {
        let headers = if status == 403 { format!("{form}origin: http://evil.example\r\n") } else { form.to_owned() };
        assert_eq!(ask(&face.address, "POST", "/runs/walk/remove", &headers, body).0, status, "{body}");
    }
    assert!(system.record("walk").await.is_some());
    assert_eq!(barriers(browser), Vec::<String>::new());
    let script = "const form = document.querySelector('form[action$=remove]'); \
                  form.querySelector('[name=confirm]').value = 'walk'; \
                  form.querySelector('[name=reason]').value = 'it was a walk'; form.querySelector('button').click()";
    browser.evaluate(script).unwrap();
    until("the list of runs is open", async || {
        let at = read(browser, "location.pathname");
        (at == "/runs").then_some(())
    })
    .await;
    assert!(system.record("walk").await.is_none());
    assert_eq!(face.get("/api/v1/experiments/walk").0, 404);
    let (_, changes) = face.get("/api/v1/audit");
    let change = &changes["items"][0];
    let told = (change["action"].as_str(), change["what"].as_str(), change["reason"].as_str());
    assert_eq!(told, (Some("remove"), Some("experiment walk"), Some("it was a walk")), "{changes}");
}

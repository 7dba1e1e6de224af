//! `egrets report`: the page in a real Chromium, from a file, as it is opened from a ticket.

use crate::serve::HOSTILE;
use crate::support::browser::Browser;
use crate::support::{egrets, ok};
use crate::written::{connection, now, record};
use egrets::model::Record;

#[test]
fn a_report_opens_from_a_file_with_zoom_tables_and_names_as_text_on_a_phone_and_on_paper() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    for (number, ago) in (1..).zip([1500, 900, 600]) {
        let c = connection(number, "curl", "api.example.com", ago);
        store.add(&Record::Opened(c));
    }
    for (number, name) in (10..).zip(HOSTILE) {
        store.add(&Record::Opened(connection(number, name, name, 300)));
    }
    store.commit(now()).unwrap();
    let page = dir.path().join("report.html");
    ok(egrets()
        .args(["report", "--since", "1h", "--db"])
        .arg(&db)
        .arg("-o")
        .arg(&page));
    let mut browser = Browser::start();
    let tab = browser.open(&format!("file://{}", page.display()));
    browser.wait(&tab, "document.querySelector('#chart canvas')");
    let text = browser.get(&tab, "document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains("api.example.com"), "{text}");
    assert!(text.contains("<img src=x onerror=alert(1)>.test"), "{text}");
    let foreign =
        "document.querySelectorAll('img, iframe, a[href^=\"//\"], [onload], [onerror]').length";
    assert_eq!(browser.get(&tab, foreign), 0);
    // what a picture shows, a table says as well
    let rows = "['#programs', '#flows', '#hosts'].map(id => document.querySelectorAll(`${id} tbody tr`).length > 0).join()";
    assert_eq!(browser.get(&tab, rows), "true,true,true");

    let range = "document.querySelector('#range').textContent";
    assert_eq!(browser.get(&tab, range), "");
    browser.drag(&tab, "#chart .u-over", 0.3, 0.7);
    browser.wait(&tab, &format!("{range}.startsWith('Shown: ')"));
    browser.get(&tab, "document.querySelector('#chart').focus()");
    browser.press(&tab, "0");
    browser.wait(&tab, &format!("{range} === ''"));

    browser.resize(&tab, 390, 844);
    browser.wait(&tab, "document.documentElement.scrollWidth <= 390");

    let pdf = browser.print(&tab);
    assert!(pdf.starts_with("JVBERi"), "%PDF-");
    let shown = |selector: &str| {
        format!("document.querySelector({selector:?}).getClientRects().length > 0")
    };
    assert_eq!(browser.get(&tab, &shown("#live")), false);
    assert_eq!(browser.get(&tab, &shown(".still")), true);
    assert_eq!(browser.complaints(&tab), Vec::<String>::new());
}

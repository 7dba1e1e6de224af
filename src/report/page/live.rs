//! The same page in the browser of a user who watches: a document without any data, and what
//! its script puts into it again and again.

use std::fmt::Display;

use anyhow::Result;
use askama::Template;
use chrono::TimeZone;

use super::{body, data, embedded, policy};
use crate::report::model::Report;
use crate::report::show::Clock;

/// The report's styles, and those of what surrounds it.
const LIVE_STYLE: &str = concat!(
    include_str!("../../../third_party/uplot/uPlot.min.css"),
    include_str!("page.css"),
    include_str!("live.css")
);

const LIVE_SCRIPT: &str = concat!(
    "/*\n",
    include_str!("../../../third_party/uplot/LICENSE"),
    "*/\n",
    include_str!("../../../third_party/uplot/uPlot.iife.min.js"),
    "\n",
    include_str!("page.js"),
    include_str!("live.js")
);

#[derive(Template)]
#[template(path = "live.html")]
struct Document {
    style: &'static str,
    script: &'static str,
}

/// A document that says nothing of a history.
pub struct LivePage {
    pub html: String,
    /// Its Content-Security-Policy: its own style and script, and requests to where it is from.
    pub policy: String,
}

/// # Errors
///
/// Those of the templates: none that can happen.
pub fn live() -> Result<LivePage> {
    let document = Document {
        style: LIVE_STYLE,
        script: LIVE_SCRIPT,
    };
    Ok(LivePage {
        html: document.render()?,
        policy: policy(LIVE_STYLE, LIVE_SCRIPT) + "; connect-src 'self'; frame-ancestors 'none'",
    })
}

/// A report as what the document's script takes: HTML, and the timeline's data in it.
///
/// # Errors
///
/// None that a report can cause: those of the templates.
pub fn update<Tz: TimeZone>(report: &Report, zone: Tz) -> Result<String>
where
    Tz::Offset: Display,
{
    let clock = Clock(zone);
    let data = embedded(&data(report, &clock))?;
    let body = body(report, &clock, "Read").render()?;
    Ok(format!(
        "{body}<script type=\"application/json\" id=\"data\">{data}</script>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_holds_its_styles_and_scripts_and_fetches_nothing_else() {
        let page = live().unwrap();
        assert!(!LIVE_SCRIPT.to_lowercase().contains("</script"));
        assert!(!LIVE_SCRIPT.contains("<!--") && !LIVE_STYLE.contains("</"));
        assert!(!LIVE_STYLE.contains("url(") && !LIVE_STYLE.contains("@import"));
        assert!(page.html.contains(LIVE_SCRIPT) && page.html.contains(LIVE_STYLE));
        assert!(!page.html.contains("src=") && !page.html.contains("http-equiv"));
    }
}

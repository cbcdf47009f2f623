//! What happened to an object.

use jiff::Timestamp;
use serde_json::Value;

use super::page::Page;
use super::time::age;
use crate::resource::text;

/// The table of events, oldest first.
pub(super) fn events(page: &mut Page, events: &[Value], now: Timestamp) {
    if events.is_empty() {
        page.field(0, "Events", "<none>");
        return;
    }
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| text(event, "/lastTimestamp"));
    page.heading(0, "Events");
    page.line(2, &["Type", "Reason", "Age", "From", "Message"]);
    page.line(2, &["----", "------", "----", "----", "-------"]);
    for event in events {
        let last = age(text(event, "/lastTimestamp"), now);
        let when = match event["count"].as_i64().unwrap_or(1) {
            ..=1 => last,
            count => format!("{last} (x{count} over {})", age(text(event, "/firstTimestamp"), now)),
        };
        let from = Some(text(event, "/source/component")).filter(|c| !c.is_empty());
        let from = from.unwrap_or(text(event, "/reportingComponent"));
        let message = text(event, "/message").trim();
        page.line(2, &[text(event, "/type"), text(event, "/reason"), &when, from, message]);
    }
}

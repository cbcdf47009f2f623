//! `gannet logs`: a container's log, through the hub, from behind any NAT.

use std::io::Write;

use clap::Args;
use futures::io::AsyncReadExt as _;
use serde_json::Value;

use crate::resource::{query_escape, targets, text};
use crate::session::Session;

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// `POD`, or `TYPE/NAME` of what owns pods, as `deployment/web-app` (then its first pod).
    #[arg(value_name = "POD")]
    pod: String,
    /// The container; needed where a pod has several.
    #[arg(short, long)]
    container: Option<String>,
    /// Go on as the container writes.
    #[arg(short, long)]
    follow: bool,
    /// The run before the last restart.
    #[arg(short, long)]
    previous: bool,
    /// Only the last so many lines.
    #[arg(long)]
    tail: Option<u64>,
    /// Only lines of the last so many seconds, as `30s`, `5m`, `2h`.
    #[arg(long)]
    since: Option<String>,
    /// A time stamp before each line.
    #[arg(long)]
    timestamps: bool,
}

pub(crate) async fn logs(
    session: &Session,
    args: &LogsArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let pod = pod_name(session, &args.pod).await?;
    let mut query = vec![format!("follow={}", args.follow), format!("previous={}", args.previous)];
    query.push(format!("timestamps={}", args.timestamps));
    query.extend(args.container.as_ref().map(|c| format!("container={}", query_escape(c))));
    query.extend(args.tail.map(|n| format!("tailLines={n}")));
    if let Some(since) = &args.since {
        query.push(format!("sinceSeconds={}", seconds(since)?));
    }
    let path = session.resource("pods").await?.one(session.namespace(), &pod);
    let mut log = session.stream(&format!("{path}/log?{}", query.join("&")), "*/*").await?;
    let mut buffer = [0; 16 << 10];
    loop {
        match log.read(&mut buffer).await? {
            0 => return Ok(()),
            length => out.write_all(&buffer[..length])?,
        }
        out.flush()?;
    }
}

/// The pod that is meant: itself, or the first of a workload's.
async fn pod_name(session: &Session, word: &str) -> anyhow::Result<String> {
    let Some((kind, name)) = word.split_once('/') else { return Ok(word.to_owned()) };
    let resource = session.resource(kind).await?;
    if resource.kind == "Pod" {
        return Ok(targets(&[word.to_owned()])?.remove(0).1.remove(0));
    }
    let owner = session.get_json(&resource.one(session.namespace(), name)).await?;
    let labels = owner.pointer("/spec/selector/matchLabels").or_else(|| owner.pointer("/spec/selector"));
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let selector: Vec<String> = labels.filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?))).collect();
    anyhow::ensure!(!selector.is_empty(), "{word} has no selector, so it has no pods");
    let pods = session.resource("pods").await?.list(Some(session.namespace()));
    let pods =
        session.get_json(&format!("{pods}?labelSelector={}", query_escape(&selector.join(",")))).await?;
    let first = pods["items"].as_array().and_then(|items| items.first());
    first.map(|p| text(p, "/metadata/name").to_owned()).ok_or_else(|| anyhow::anyhow!("{word} has no pods"))
}

/// A duration of an argument.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    seconds(text).map(std::time::Duration::from_secs).map_err(|e| e.to_string())
}

/// Seconds of a duration as `90s`, `5m`, `2h`, or of a plain number.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => anyhow::bail!("invalid duration {text:?}: use 30s, 5m or 2h"),
    };
    let number: u64 =
        number.parse().map_err(|_| anyhow::anyhow!("invalid duration {text:?}: use 30s, 5m or 2h"))?;
    number.checked_mul(factor).ok_or_else(|| anyhow::anyhow!("duration {text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(["30", "30s", "5m", "2h"].map(|t| seconds(t).unwrap()), [30, 30, 300, 7200]);
        assert!(
            ["", "s", "5d", "-1s", "99999999999999999999s", "18446744073709551615h"]
                .iter()
                .all(|t| seconds(t).is_err())
        );
    }
}

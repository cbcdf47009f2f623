//! Containers of pods and of templates.

use serde_json::Value;

use super::page::{Page, shown};
use super::time::time;
use crate::resource::text;

/// One container at this indent. `status` is null for a template.
pub(super) fn container(page: &mut Page, indent: usize, container: &Value, status: &Value) {
    page.heading(indent, text(container, "/name"));
    let at = indent + 2;
    if !status.is_null() {
        page.field(at, "Container ID", text(status, "/containerID"));
    }
    page.field(at, "Image", text(container, "/image"));
    if !status.is_null() {
        page.field(at, "Image ID", text(status, "/imageID"));
    }
    ports(page, at, container);
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        if let Some(words) = container[field].as_array().filter(|w| !w.is_empty()) {
            page.heading(at, name);
            words.iter().for_each(|word| page.line(at + 2, &[shown(word)]));
        }
    }
    if !status.is_null() {
        state(page, at, "State", &status["state"]);
        if status["lastState"].as_object().is_some_and(|s| !s.is_empty()) {
            state(page, at, "Last State", &status["lastState"]);
        }
        page.field(at, "Ready", if status["ready"] == true { "True" } else { "False" });
        page.field(at, "Restart Count", status["restartCount"].as_i64().unwrap_or(0).to_string());
    }
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let Some(amounts) = container["resources"][field].as_object().filter(|r| !r.is_empty()) else {
            continue;
        };
        page.heading(at, name);
        amounts.iter().for_each(|(resource, amount)| page.field(at + 2, resource, shown(amount)));
    }
    for (name, field) in
        [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            page.field(at, name, probe(&container[field]));
        }
    }
    environment(page, at, container);
    let mounts = container["volumeMounts"].as_array().into_iter().flatten().map(|mount| {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        let path = Some(text(mount, "/subPath")).filter(|p| !p.is_empty());
        let path = path.map(|p| format!(",path=\"{p}\"")).unwrap_or_default();
        format!("{} from {} ({mode}{path})", text(mount, "/mountPath"), text(mount, "/name"))
    });
    block_or_none(page, at, "Mounts", mounts.collect());
}

/// Lines below a heading, or `<none>`.
fn block_or_none(page: &mut Page, indent: usize, name: &str, lines: Vec<String>) {
    if lines.is_empty() {
        page.field(indent, name, "<none>");
        return;
    }
    page.heading(indent, name);
    lines.iter().for_each(|line| page.line(indent + 2, &[line]));
}

fn ports(page: &mut Page, indent: usize, container: &Value) {
    let list = container["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |field: &str, named: bool| -> String {
        let port = |p: &Value| {
            let protocol = Some(text(p, "/protocol")).filter(|p| !p.is_empty()).unwrap_or("TCP");
            let name = Some(text(p, "/name")).filter(|n| named && !n.is_empty());
            let name = name.map(|n| format!(" ({n})")).unwrap_or_default();
            format!("{}/{protocol}{name}", p[field].as_i64().unwrap_or(0))
        };
        let all: Vec<String> = list.iter().map(port).collect();
        if all.is_empty() { "<none>".to_owned() } else { all.join(", ") }
    };
    let plural = if list.len() > 1 { "s" } else { "" };
    page.field(indent, &format!("Port{plural}"), of("containerPort", true));
    page.field(indent, &format!("Host Port{plural}"), of("hostPort", false));
}

fn state(page: &mut Page, indent: usize, name: &str, state: &Value) {
    let entry = state.as_object().and_then(|s| s.iter().next());
    let Some((which, detail)) = entry else {
        page.field(indent, name, "Waiting");
        return;
    };
    let shown_state = match which.as_str() {
        "running" => "Running",
        "terminated" => "Terminated",
        _ => "Waiting",
    };
    page.field(indent, name, shown_state);
    page.field_if(indent + 2, "Reason", text(detail, "/reason"));
    page.field_if(indent + 2, "Message", text(detail, "/message"));
    if let Some(code) = detail["exitCode"].as_i64() {
        page.field(indent + 2, "Exit Code", code.to_string());
    }
    if let Some(signal) = detail["signal"].as_i64().filter(|n| *n > 0) {
        page.field(indent + 2, "Signal", signal.to_string());
    }
    page.field_if(indent + 2, "Started", time(text(detail, "/startedAt")));
    page.field_if(indent + 2, "Finished", time(text(detail, "/finishedAt")));
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let times = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3),
    );
    let how = if let Some(exec) = probe["exec"].as_object() {
        let words = exec.get("command").and_then(Value::as_array).into_iter().flatten();
        format!("exec [{}]", words.map(shown).collect::<Vec<_>>().join(" "))
    } else if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = Some(text(get, "/scheme")).filter(|s| !s.is_empty()).unwrap_or("HTTP").to_lowercase();
        let path = text(get, "/path").trim_start_matches('/');
        format!("http-get {scheme}://{}:{}/{path}", text(get, "/host"), shown(&get["port"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket {}:{}", text(probe, "/tcpSocket/host"), shown(&probe["tcpSocket"]["port"]))
    } else if probe["grpc"].is_object() {
        format!("grpc <pod>:{} {}", shown(&probe["grpc"]["port"]), text(probe, "/grpc/service"))
    } else {
        "unknown".to_owned()
    };
    format!("{how} {times}")
}

fn environment(page: &mut Page, indent: usize, container: &Value) {
    let from = container["envFrom"].as_array().into_iter().flatten();
    let from: Vec<[String; 2]> = from
        .map(|source| {
            let kind = if source["configMapRef"].is_object() { "ConfigMap" } else { "Secret" };
            let name = text(source, "/configMapRef/name").to_owned() + text(source, "/secretRef/name");
            let maybe =
                source.pointer("/configMapRef/optional").or_else(|| source.pointer("/secretRef/optional"));
            [name, format!("{kind}  Optional: {}", maybe == Some(&Value::Bool(true)))]
        })
        .collect();
    if !from.is_empty() {
        page.heading(indent, "Environment Variables from");
        from.iter().for_each(|line| page.line(indent + 2, line));
    }
    let own = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    if own.is_empty() {
        page.field(indent, "Environment", "<none>");
        return;
    }
    page.heading(indent, "Environment");
    for variable in own {
        let source = &variable["valueFrom"];
        let key = |of: &str, kind: &str| {
            let reference = &source[of];
            let (key, name) = (text(reference, "/key"), text(reference, "/name"));
            format!("<set to the key '{key}' {kind} '{name}'>  Optional: {}", reference["optional"] == true)
        };
        let value = if source["configMapKeyRef"].is_object() {
            key("configMapKeyRef", "of config map")
        } else if source["secretKeyRef"].is_object() {
            key("secretKeyRef", "in secret")
        } else if source["fieldRef"].is_object() {
            format!(" ({}:{})", text(source, "/fieldRef/apiVersion"), text(source, "/fieldRef/fieldPath"))
        } else if source["resourceFieldRef"].is_object() {
            format!("({})", text(source, "/resourceFieldRef/resource"))
        } else {
            text(variable, "/value").to_owned()
        };
        page.field(indent + 2, text(variable, "/name"), value.trim_start());
    }
}

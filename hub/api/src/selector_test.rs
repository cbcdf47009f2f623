use serde_json::json;

use super::*;

fn check(kind: &Kind, labels: &str, fields: &str, object: &Value, expected: Result<bool, &str>) {
    let result = Selector::parse(kind, labels, fields).map(|s| s.matches(object)).map_err(|s| s.message);
    match (result, expected) {
        (Err(message), Err(part)) => assert!(message.contains(part), "{labels:?} {fields:?}: {message}"),
        (result, expected) => assert_eq!(result, expected.map_err(str::to_owned), "{labels:?} {fields:?}"),
    }
}

#[test]
fn labels() {
    let object =
        json!({"metadata": {"labels": {"app": "web", "tier": "front", "example.org/n": "5", "empty": ""}}});
    for (selector, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app=web,tier=back", false),
        ("app!=web", false),
        ("other!=web", true),
        ("app", true),
        ("!app", false),
        ("!other", true),
        ("app in (web, db)", true),
        ("app in (db),tier in (front)", false),
        ("app notin (db)", true),
        ("other notin (db)", true),
        ("tier notin (front,back)", false),
        ("example.org/n>4", true),
        ("example.org/n<5", false),
        ("app>1", false),
        ("empty=", true),
        ("in in (x)", false),
    ] {
        check(Kind::POD, selector, "", &object, Ok(expected));
    }
    for (selector, error) in [
        ("app=web=x", "Invalid value"),
        ("app in web", "expected: '('"),
        ("app in (web", "expected: ',' or ')'"),
        ("-a=b", "Invalid value"),
        ("n>x", "must be an integer"),
        ("a b", "expected: in, notin"),
        ("=b", "Invalid value"),
    ] {
        check(Kind::POD, selector, "", &object, Err(error));
    }
}

#[test]
fn fields() {
    let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "g"}, "status": {"phase": "Running"}});
    for (selector, expected) in [
        ("metadata.name=p", true),
        ("metadata.name==q", false),
        ("metadata.namespace=n,spec.nodeName=g", true),
        ("status.phase!=Running", false),
        ("status.podIP=", true),
    ] {
        check(Kind::POD, "", selector, &pod, Ok(expected));
    }
    check(Kind::POD, "", "spec.foo=1", &pod, Err("field label not supported: spec.foo"));
    check(Kind::SERVICE, "", "spec.nodeName=g", &pod, Err("field label not supported: spec.nodeName"));
    check(Kind::POD, "", "metadata.name", &pod, Err("invalid selector"));
    let event = json!({"involvedObject": {"kind": "Pod", "uid": "a,b"}, "type": "Warning", "source": {"component": "agent"}});
    for (selector, expected) in [
        ("involvedObject.kind=Pod,type=Warning", true),
        ("involvedObject.uid=a\\,b", true),
        ("source=agent", true),
        ("reason=x", false),
    ] {
        check(Kind::EVENT, "", selector, &event, Ok(expected));
    }
    check(Kind::NODE, "", "spec.unschedulable=false", &json!({}), Ok(true));
}

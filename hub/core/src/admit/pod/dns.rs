//! `dnsPolicy`, `dnsConfig` and `hostAliases`: limits of the C library's resolver.

use std::net::IpAddr;

use crate::admit::at::{At, Errors};
use crate::admit::names;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// All search domains with the spaces between them.
const MAX_SEARCH_CHARS: usize = 2048;

/// Checks what a pod says about names.
pub(super) fn validate(spec: &At<'_>, errors: &mut Errors) {
    let (policy, dns) = (spec.field("dnsPolicy"), spec.field("dnsConfig"));
    errors.required_one_of(&policy, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    let servers = dns.field("nameservers");
    if policy.text() == "None" && !dns.is_set() {
        errors.required(&dns, "must provide `dnsConfig` when `dnsPolicy` is None");
    } else if policy.text() == "None" && servers.items().is_empty() {
        errors.required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    config(&dns, errors);
    for alias in spec.field("hostAliases").items() {
        ip(&alias.field("ip"), errors);
        for name in alias.field("hostnames").items() {
            errors.texts(&name, names::subdomain(name.text()));
        }
    }
}

fn config(dns: &At<'_>, errors: &mut Errors) {
    let (servers, searches) = (dns.field("nameservers"), dns.field("searches"));
    if servers.items().len() > MAX_NAMESERVERS {
        errors.invalid(&servers, &format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    servers.items().iter().for_each(|server| ip(server, errors));
    let list = searches.items();
    if list.len() > MAX_SEARCHES {
        errors.invalid(&searches, &format!("must not have more than {MAX_SEARCHES} search paths"));
    }
    let characters = list.iter().map(|s| s.text().len() + 1).sum::<usize>().saturating_sub(1);
    if characters > MAX_SEARCH_CHARS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        );
        errors.invalid(&searches, &detail);
    }
    for search in list.iter().filter(|s| s.text() != ".") {
        let domain = search.text().strip_suffix('.').unwrap_or(search.text());
        errors.texts(search, names::search_domain(domain));
    }
    for option in dns.field("options").items() {
        if option.field("name").text().is_empty() {
            errors.required(&option, "must not be empty");
        }
    }
}

fn ip(at: &At<'_>, errors: &mut Errors) {
    if at.text().parse::<IpAddr>().is_err() {
        errors.invalid(at, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

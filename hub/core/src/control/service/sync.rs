//! All services of a turn.

use super::{backends, endpoints, load_balancer, slices};
use crate::control::draft::Draft;
use crate::control::index::Index;
use crate::control::meta;

/// Writes what follows from the pods for every service with a selector. Services without one are left to those who
/// write their Endpoints.
pub(crate) fn sync_all(draft: &mut Draft<'_>, index: &Index<'_>) {
    let mut slices = slices::by_service(draft);
    let everywhere = load_balancer::all_addresses(draft);
    for key in draft.services.keys() {
        let Some(service) = draft.services.shared(&key) else { continue };
        if meta::is_terminating(&service.metadata) {
            continue;
        }
        let backends = backends::backends(draft, index, &service);
        if backends::is_selected(&service) {
            endpoints::write(draft, &service, &backends);
            slices::write(draft, &service, &backends, slices.remove(&key).unwrap_or_default());
        }
        load_balancer::write(draft, &service, &backends, &everywhere);
    }
    endpoints::clean_up(draft);
}

#[cfg(test)]
#[path = "service_test.rs"]
mod tests;

//! Services: who answers (Endpoints, EndpointSlices), and where a load balancer is reached.

mod backends;
mod endpoints;
mod load_balancer;
mod slices;
mod sync;

pub(crate) use sync::sync_all;

//! The registry of these tests.

pub(crate) use gannet_tests_support::one_image::serve;

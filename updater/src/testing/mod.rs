//! What tests of several modules share: releases, bundles, a disk that loses its power.

mod boots;
pub(crate) mod bundle;
pub(crate) mod delta;
pub(crate) mod dice;
pub(crate) mod fault;
pub(crate) mod full_disk;
pub(crate) mod network;
mod operator;
pub(crate) mod proxy;
pub(crate) mod published;
pub(crate) mod root;
pub(crate) mod sim;
pub(crate) mod site;
pub(crate) mod tls;
pub(crate) mod world;

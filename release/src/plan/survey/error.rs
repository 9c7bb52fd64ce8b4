use crate::{
    bundle::{IndexError, PayloadName},
    plan::{OverBudget, PlanError},
    verity::{GeometryError, TreeError},
};

/// A release can't be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    /// The frame table.
    #[error("the bundle's frame table")]
    Index(#[from] IndexError),
    /// The payloads can't have a tree.
    #[error("the release's payloads")]
    Geometry(#[from] GeometryError),
    /// A hash tree isn't what the manifest says.
    #[error("the hash tree of the bundle's {payload}")]
    Tree {
        /// Whose.
        payload: PayloadName,
        /// Why.
        source: TreeError,
    },
    /// The hash trees have another length than their payloads ask for.
    #[error("the bundle's hash trees have {found} bytes, its payloads ask for {expected}")]
    TreeLength {
        /// What the payloads ask for.
        expected: u64,
        /// What the manifest says.
        found: u64,
    },
    /// Tree and frames don't belong together.
    #[error("plan the installation")]
    Plan(#[from] PlanError),
    /// Too much would be fetched.
    #[error(transparent)]
    Budget(#[from] OverBudget),
}

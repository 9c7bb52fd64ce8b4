//! `[state]`

use super::{Key, Shape, optional, required};

pub(super) const STATE: &[Key] = &[
    optional(
        "paths",
        Shape::Append("absolute paths"),
        "for a `single` k0s or k3s its datastore, keys and manifests",
        "Files and folders below `/var`, at least one, none in another: a datastore, its keys. What can be had again, like \
         images of containers, doesn't belong here: everything is copied before each update's trial, and the data partition must \
         have room for it.",
    ),
    optional(
        "units",
        Shape::Append("unit names"),
        "those of `[kubernetes]`",
        "What reads or writes the state, by full names, beside Kubernetes' own units: started only once the state is as this \
         release needs it.",
    ),
    optional(
        "keep",
        Shape::Integer,
        "`3`",
        "How many copies are kept, from 1 to 100: of state before an update, and of state that was replaced. The oldest are removed.",
    ),
    optional(
        "pre-start",
        Shape::Table(HOOK),
        "none",
        "Run in a release's trial after the copy, before the units start: a migration. When it fails, so does the trial. After a \
         power cut it may be run again.",
    ),
    optional(
        "post-rollback",
        Shape::Table(HOOK),
        "none",
        "Run by the release before after the copy was brought back, before the units start. When it fails, that is told, and they \
         start all the same. After a power cut it may be run again.",
    ),
];

const HOOK: &[Key] = &[
    optional(
        "command",
        Shape::Replace("program and arguments"),
        "",
        "A program's absolute path and its arguments; no shell.",
    ),
    required(
        "deadline",
        Shape::Text("duration"),
        "How long it may take, at most a day; then it is killed, and has failed.",
    ),
];

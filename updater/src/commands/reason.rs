//! Which of the few reasons of a report a failure is.

use outcrop_release::report::Reason;

use super::CommandError;
use crate::{
    agent::{StageEnd, Trouble},
    chain,
    channel::FollowError,
    install::{HeadError, InstallError, Refusal, SourceError},
    lifecycle::LifecycleError,
    reports::ReportsError,
};

impl CommandError {
    /// The reason, to be counted.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Source(source)
            | Self::Head(HeadError::Source(source))
            | Self::Install(InstallError::Source(source)) => of_source(source),
            Self::Web(_)
            | Self::TooLittle(_)
            | Self::Follow(FollowError::Fetch { .. })
            | Self::Reports(ReportsError::Send { .. } | ReportsError::Lost(_)) => Reason::Network,
            Self::Install(
                InstallError::Disk(_)
                | InstallError::Record(_)
                | InstallError::Loader(_)
                | InstallError::Medium { .. }
                | InstallError::Scratch { .. },
            )
            | Self::Disk(_)
            | Self::Record(_)
            | Self::Lifecycle(LifecycleError::Record(_) | LifecycleError::Control(_))
            | Self::Durable(_)
            | Self::State(_)
            | Self::NoRoomForState(_)
            | Self::History(_)
            | Self::Reports(_)
            | Self::DeviceKey(_)
            | Self::Follow(FollowError::State(_)) => Reason::Storage,
            _ => Reason::Refused,
        }
    }

    /// The same for the agent.
    pub(crate) fn trouble(&self) -> Trouble {
        Trouble {
            reason: self.reason(),
            detail: chain::describe(self),
        }
    }

    /// Why a release isn't staged.
    pub(crate) fn stage_end(&self) -> StageEnd {
        match self {
            Self::Busy | Self::Refused(Refusal::OnTrial) | Self::Install(InstallError::Interrupted) => {
                StageEnd::Stopped
            }
            Self::Source(source)
            | Self::Head(HeadError::Source(source))
            | Self::Install(InstallError::Source(source)) => match source {
                SourceError::Spent(_) => StageEnd::Spent,
                SourceError::Closed => StageEnd::Closed,
                SourceError::Interrupted => StageEnd::Stopped,
                _ => StageEnd::Failed(self.trouble()),
            },
            _ => StageEnd::Failed(self.trouble()),
        }
    }
}

const fn of_source(source: &SourceError) -> Reason {
    match source {
        SourceError::File { .. } => Reason::Storage,
        SourceError::Server { .. }
        | SourceError::Status(_)
        | SourceError::WebPage
        | SourceError::Changed
        | SourceError::Spent(_)
        | SourceError::Closed
        | SourceError::Interrupted
        | SourceError::Short { .. } => Reason::Network,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_failure_has_the_reason_that_an_operator_would_look_for() {
        let server = || SourceError::Server {
            tries: 8,
            why: "refused".to_owned(),
        };
        for (error, reason) in [
            (CommandError::from(server()), Reason::Network),
            (
                InstallError::Source(SourceError::Status(404)).into(),
                Reason::Network,
            ),
            (CommandError::from(SourceError::WebPage), Reason::Network),
            (CommandError::PreCheck("battery".to_owned()), Reason::Refused),
            (
                InstallError::Scratch {
                    bytes: 4096,
                    source: io::ErrorKind::StorageFull.into(),
                }
                .into(),
                Reason::Storage,
            ),
        ] {
            assert_eq!(error.reason(), reason, "{error:?}");
            assert!(matches!(error.stage_end(), StageEnd::Failed(trouble) if trouble.reason == reason));
        }
    }

    #[test]
    fn a_limit_that_is_reached_is_no_failure() {
        let end = |source: SourceError| CommandError::from(InstallError::Source(source)).stage_end();
        assert_eq!(end(SourceError::Spent(5)), StageEnd::Spent);
        assert_eq!(end(SourceError::Closed), StageEnd::Closed);
        assert_eq!(end(SourceError::Interrupted), StageEnd::Stopped);
        assert_eq!(CommandError::Busy.stage_end(), StageEnd::Stopped);
    }
}

//! The runner's refusals as problems: which code, which words, when to try again.

use runner::{CallError, DeclareError, FollowError};

use crate::{
    problem::{Code, Problem},
    routes::unknown_trigger,
};

impl From<DeclareError> for Problem {
    fn from(error: DeclareError) -> Self {
        let detail = error.to_string();
        match error {
            DeclareError::UnknownSkill { .. } => Self::new(Code::SkillNotFound, detail),
            DeclareError::NetworkNotConfigured => Self::new(Code::NetworkNotConfigured, detail),
            DeclareError::InvalidEnvironment { .. }
            | DeclareError::InvalidInput { .. }
            | DeclareError::OutOfRange { .. } => Self::new(Code::InvalidDeclaration, detail),
            DeclareError::Conflict => Self::new(Code::Conflict, detail),
            DeclareError::SkillTooLate { .. } => Self::new(Code::SkillTooLate, detail),
            DeclareError::Closed => Self::new(Code::TriggerClosed, detail),
            DeclareError::Busy { retry_after, .. } => Self::new(Code::Busy, detail).retry_after(retry_after),
            DeclareError::ShuttingDown { retry_after } => {
                Self::new(Code::ShuttingDown, detail).retry_after(retry_after)
            }
        }
    }
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Self {
        let detail = error.to_string();
        match error {
            FollowError::Unknown => unknown_trigger(),
            FollowError::Busy { retry_after, .. } => Self::new(Code::Busy, detail).retry_after(retry_after),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let detail = error.to_string();
        match error {
            CallError::InvalidCallId => Self::new(Code::InvalidId, detail),
            // Its own words say only that there is a cause; the cause is for the caller.
            CallError::Skills(cause) => cause.into(),
            CallError::ConflictingArguments { .. } => Self::new(Code::ConflictingArguments, detail),
            CallError::ResultGone => Self::new(Code::ResultGone, detail),
            CallError::TriggerClosed => Self::new(Code::TriggerClosed, detail),
            CallError::Busy { retry_after, .. } => Self::new(Code::Busy, detail).retry_after(retry_after),
            CallError::ShuttingDown { retry_after } => {
                Self::new(Code::ShuttingDown, detail).retry_after(retry_after)
            }
            CallError::Internal => Self::new(Code::InternalError, detail),
        }
    }
}

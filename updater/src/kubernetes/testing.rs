//! An API server that answers by heart.

use std::cell::RefCell;

use serde_json::Value;

use super::client::{Api, ApiError, Method};

/// Answers each request with the next answer that was prepared for it; the last one again and again.
pub(super) struct Fake {
    answers: RefCell<Vec<(String, u16, String)>>,
    /// What was asked: method, path and body.
    pub(super) asked: RefCell<Vec<String>>,
}

impl Fake {
    /// `METHOD PATH`, status, body.
    pub(super) fn new(answers: impl IntoIterator<Item = (String, u16, String)>) -> Self {
        Self {
            answers: RefCell::new(answers.into_iter().collect()),
            asked: RefCell::default(),
        }
    }
}

impl Api for Fake {
    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, ApiError> {
        let name = format!("{method:?} {path}");
        let body = body.map(|body| format!(" {body}")).unwrap_or_default();
        self.asked.borrow_mut().push(format!("{name}{body}"));
        let mut answers = self.answers.borrow_mut();
        let fitting: Vec<usize> = (0..answers.len()).filter(|at| answers[*at].0 == name).collect();
        let (_, status, text) = match fitting.as_slice() {
            [] => panic!("nobody expects {name}"),
            [only] => answers[*only].clone(),
            [first, ..] => answers.remove(*first),
        };
        if (200..300).contains(&status) {
            return Ok(text.into_bytes());
        }
        let path = path.to_owned();
        let reason = format!(": {text}");
        Err(ApiError::Status { path, status, reason })
    }
}

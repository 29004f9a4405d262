//! Everything that is wrong with a config file, each with its line.

use std::fmt;
use std::path::PathBuf;

use crate::reconcile::types::printable;

/// Something wrong with the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; none when it concerns the whole file.
    pub line: Option<usize>,
    /// What is wrong and what is allowed; neutralised.
    pub text: String,
}

/// Everything that is wrong with the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// At least one, in the order of the lines.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    /// `FILE:LINE: what is wrong`, one line per problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = printable(&self.path.to_string_lossy());
        for (at, problem) in self.problems.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            match problem.line {
                Some(line) => write!(f, "{end}{path}:{line}: {}", problem.text)?,
                None => write!(f, "{end}{path}: {}", problem.text)?,
            }
        }
        Ok(())
    }
}

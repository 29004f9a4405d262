//! How a command ends, for the shell.

use std::process::ExitCode;

use serde::{Serialize, Serializer};

/// Exit codes in the order of their gravity: a command ends with the gravest of all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// 0: both sides agree, but for what is set aside for good and named by `status`.
    InSync,
    /// 1: something was skipped that another run may mend.
    Incomplete,
    /// 4: something is held until a person agrees.
    Held,
    /// 5: another mailtide has the Maildir; this one did nothing.
    Locked,
    /// 3: the server could not be reached, or did not let us in.
    Unreachable,
    /// 2: the command line or the config file is wrong.
    Usage,
    /// 130: interrupted; the step in hand was finished, the next run goes on.
    Interrupted,
}

impl Exit {
    /// Every way to end, from the least grave.
    pub const ALL: [Self; 7] = [
        Self::InSync,
        Self::Incomplete,
        Self::Held,
        Self::Locked,
        Self::Unreachable,
        Self::Usage,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Held => 4,
            Self::Locked => 5,
            Self::Interrupted => 130,
        }
    }

    /// The gravest of several, [`Exit::InSync`] of none.
    #[must_use]
    pub fn gravest(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().max().unwrap_or(Self::InSync)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Serialize for Exit {
    /// As its number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_wins() {
        let order: Vec<u8> = Exit::ALL.iter().rev().map(|exit| exit.code()).collect();
        assert_eq!(order, [130, 2, 3, 5, 4, 1, 0]);
        for (at, grave) in Exit::ALL.iter().enumerate() {
            for lesser in &Exit::ALL[..=at] {
                assert_eq!(Exit::gravest([*lesser, *grave]), *grave);
                assert_eq!(Exit::gravest([*grave, *lesser]), *grave);
            }
        }
        assert_eq!(Exit::gravest([]), Exit::InSync);
    }
}

//! Values that the table `meta` holds as text. Stores of older versions are read, so no text ever
//! changes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::reconcile::types::{Keyword, MailboxId, MailboxName, RowId, Uid};

/// A value that is stored as text.
pub(crate) trait Fact: Sized {
    /// Reads what [`Self::print`] wrote.
    fn parse(text: &str) -> Option<Self>;
    /// Returns the text.
    fn print(&self) -> String;
}

/// Items with a character between them, and behind the last where it is `ENDED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T, const BETWEEN: char, const ENDED: bool = false>(pub(crate) Vec<T>);

impl<T: Fact, const BETWEEN: char, const ENDED: bool> Fact for List<T, BETWEEN, ENDED> {
    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.split(BETWEEN).filter_map(T::parse).collect()))
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for item in &self.0 {
            text.push_str(&item.print());
            text.push(BETWEEN);
        }
        if !ENDED {
            text.pop();
        }
        text
    }
}

/// JSON.
impl<T: Serialize + DeserializeOwned> Fact for Vec<T> {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn print(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Nothing is an empty text.
impl<T: Fact> Fact for Option<T> {
    fn parse(text: &str) -> Option<Self> {
        Some(T::parse(text))
    }

    fn print(&self) -> String {
        self.as_ref().map(T::print).unwrap_or_default()
    }
}

impl Fact for () {
    fn parse(_: &str) -> Option<Self> {
        Some(())
    }

    fn print(&self) -> String {
        "1".to_owned()
    }
}

/// Facts of one word, by how they are read and shown.
macro_rules! words {
    ($($type:ty: $parse:expr, $shown:expr;)*) => {$(
        impl Fact for $type {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok().map($parse)
            }

            fn print(&self) -> String {
                let shown: fn(&Self) -> _ = $shown;
                shown(self).to_string()
            }
        }
    )*};
}

words! {
    u8: |n| n, |n| *n;
    u32: |n| n, |n| *n;
    u64: |n| n, |n| *n;
    i64: |n| n, |n| *n;
    String: |text| text, |text| text.clone();
    MailboxId: MailboxId, |id| id.0;
    RowId: RowId, |id| id.0;
    Uid: Uid, |uid| uid.0;
    Keyword: |text: String| Keyword::new(&text), |keyword| keyword.as_str().to_owned();
    MailboxName: |text: String| MailboxName::new(&text), |name| name.as_str().to_owned();
}

/// Facts with a space between them; the last one may hold spaces.
macro_rules! tuple {
    ($count:literal: $($part:ident $at:tt)*) => {
        impl<$($part: Fact),*> Fact for ($($part,)*) {
            fn parse(text: &str) -> Option<Self> {
                let mut words = text.splitn($count, ' ');
                Some(($($part::parse(words.next()?)?,)*))
            }

            fn print(&self) -> String {
                [$(self.$at.print()),*].join(" ")
            }
        }
    };
}

tuple!(2: A 0 B 1);
tuple!(3: A 0 B 1 C 2);
tuple!(4: A 0 B 1 C 2 D 3);

/// Enums of which each value has a text; the first one stands for every other text, too.
macro_rules! texts {
    ($($(#[$of:meta])* $type:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)* })*) => {$(
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type { $($(#[$doc])* $value,)* }

        impl Fact for $type {
            fn parse(text: &str) -> Option<Self> {
                let all = [$((Self::$value, $text)),*];
                Some(all.iter().find(|(_, known)| *known == text).unwrap_or(&all[0]).0)
            }

            fn print(&self) -> String {
                match self { $(Self::$value => $text.to_owned(),)* }
            }
        }
    )*};
}

texts! {
    /// Why both sides are being united: mailboxes may have other names than before (hazard 183).
    Uniting {
        /// The Maildir of a mirror is not as it was left.
        Mirror = "1",
        /// The store of a maildrop is new.
        New = "new",
        /// The Maildir of a maildrop is not as it was left.
        Changed = "changed",
    }
    /// What was seen of other mailboxes when the numbers of one changed.
    Numbers {
        /// No other mailbox is known to have kept its numbers.
        WithOthers = "with others",
        /// Others kept their numbers.
        Alone = "alone",
    }
    /// How it was noticed that a mailbox cannot be selected.
    Shut {
        /// SELECT was refused.
        BySelect = "by SELECT",
    }
}

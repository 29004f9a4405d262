//! What a POP3 server, a proxy or a wire does wrong.

use std::time::Duration;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends after the server sent this many more octets, counted from the
    /// matching command's answer, or from the greeting on with `When::connect`.
    CutAfterSent(u64),
    /// The connection ends after the server took this many more octets, counted from the end
    /// of the matching command, or from the start with `When::connect`.
    CutAfterReceived(u64),
    /// The connection ends before the command is carried out.
    CutBefore,
    /// The command is carried out, then the connection ends without a word.
    CutAfter,
    /// Never an answer; the connection stays open until the client ends it.
    Hang,
    /// The command is carried out, and each octet of the answer comes after this delay.
    Drip(Duration),
    /// `-ERR text`, a code included (`[SYS/TEMP] later`), instead of carrying out the command.
    Refuse(String),
    /// RETR, TOP and DELE of the message with this number are refused.
    RefuseMessage(u32),
    /// The connection ends at RETR of the message with this number.
    CutAtMessage(u32),
    /// These octets instead of the command's own answer; it is not carried out.
    Say(Vec<u8>),
    /// Lines that make no sense stand between those of a listing.
    OddLines,
    /// LIST comes in the opposite order, with blanks to spare.
    Disorder,
    /// Sizes of LIST are off by this many octets.
    SizeLie(i64),
    /// The body of a RETR gets a header on top that is another one each time.
    AddHeader,
    /// RETR of the message with this number gives so many octets of it, and ends in order.
    CutBody(u32, usize),
    /// TOP gives the whole message.
    TopIsWhole,
    /// `+OK` to QUIT, but what was to be deleted stays.
    KeepDeleted,
    /// Dots at the start of a line are not doubled: a line of one dot ends a body too early.
    Unstuffed,
}

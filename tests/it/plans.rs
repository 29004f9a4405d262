//! The planner, tried as tables, as every small world, and as worlds made up from seeds.

#[path = "plans/engine.rs"]
mod engine;
#[path = "plans/guard.rs"]
mod guard;
#[path = "plans/hazards.rs"]
mod hazards;
#[path = "plans/worlds.rs"]
mod worlds;

use kit::table::check::{Table, check_plan};
use kit::table::model::Ladder;

#[test]
fn the_table_of_truth() {
    check_plan("A  S  S     SF", "A INBOX flags local +F");
    check_plan("A  S  gone  S", "A INBOX remote expunge");
    check_plan("A  S  gone  SF", "A INBOX remote expunge");
    check_plan("A  S  S     gone", "A INBOX local remove");
    check_plan("A  S  SF    gone", "A INBOX local remove");
    check_plan("A  S  gone  gone", "A INBOX forget");
    check_plan("A  -  new   -", "A INBOX push");
    check_plan("A  -  -     new", "A INBOX fetch");
    check_plan("A  -  S     F", "A INBOX pair");
}

#[test]
fn moves_and_copies_carry_no_body() {
    check_plan("A  S  in:Work    S", "A INBOX remote move to Work");
    check_plan("A  S  S          in:Work", "A INBOX local move to Work");
    check_plan("A  S  S+in:Work  S", "A INBOX remote copy to Work");
    let named = Ladder { object_ids: true, ..Ladder::default() };
    Table::on("A  S  S  S+in:Work", named).check("A INBOX local copy to Work");
    // Of the same words may be another text, too: the body of a copy is looked at once.
    check_plan("A  S  S          S+in:Work", "A Work fetch");
    check_plan("A  S  in:Work    in:Work", "A Work pair from INBOX");
}

#[test]
fn a_table_of_several_messages() {
    check_plan(
        "
        msg  base  local   remote
        A    S     S       SF       # starred on the phone
        B    S     gone    S        # deleted in mutt
        C    -     -       new      # arrived
        D    S     SR      gone     # answered here, deleted there
        E    S     Work:S  SF       # filed here, starred there
        F    S     .       S        # marked unread here
        ",
        "
        A INBOX flags local +F
        B INBOX remote expunge
        C INBOX fetch
        E INBOX remote move to Work
        F INBOX flags remote -S
        ",
    );
}

//! The planner, tried as tables, as every small world, and as worlds made up from seeds.

use kit::table::check::check_plan;

#[path = "plans/worlds.rs"]
mod worlds;

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
    check_plan("A  S  in:Work  S", "A INBOX remote move to Work");
    check_plan("A  S  S     in:Work", "A INBOX local move to Work");
}

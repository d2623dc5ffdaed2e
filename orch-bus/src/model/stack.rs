//! The stack of announcements.

use std::sync::Arc;

use super::{check, spawn};
use crate::stack::Stack;

#[test]
fn what_is_pushed_is_taken_once_or_refused() {
    check("stack: push, take, close", || {
        let stack = Arc::new(Stack::new_closed());
        stack.open();
        let senders = [10, 20].map(|first| {
            let stack = stack.clone();
            spawn(move || {
                [first, first + 1].into_iter().filter_map(|it| stack.push(it).err()).collect()
            })
        });
        let mut seen: Vec<i32> = stack.take().chain(stack.close()).collect();
        let taken = seen.clone();
        let refused: Vec<Vec<i32>> = senders.into_iter().map(|it| it.join().unwrap()).collect();
        seen.extend(refused.concat());
        for of_one in [[10, 11], [20, 21]] {
            let mine: Vec<_> = taken.iter().filter(|it| of_one.contains(it)).collect();
            assert!(mine.is_sorted(), "{taken:?}");
        }
        seen.sort_unstable();
        assert_eq!(seen, [10, 11, 20, 21]);
    });
}

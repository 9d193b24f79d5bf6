;; A tool plugin whose catalogue and answers are whatever the test puts in: the texts in braces
;; are replaced (tests/hostile/liar.rs), and WIT's type of the component is added.
(module
  (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
  (import "aos:tool/call@0.1.0" "progress" (func $progress (param f64 i32 f64 i32 i32))){imports}
  (memory (export "memory") {pages})
  (data (i32.const 65536) "{data}")
  (global $next (mut i32) (i32.const {end}))
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32)
      (param $new i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.add (i32.shr_u (local.get $new) (i32.const 16))
        (i32.const 1))))))
    (local.get $at))
  (func (export "aos:tool/tools@0.1.0#definitions") (result i32) {definitions})
  (func (export "aos:tool/tools@0.1.0#call") (param i32 i32 i32 i32) (result i32) {first} {call}))

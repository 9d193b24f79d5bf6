;; A command that grows its one memory a MiB at a time and touches every page of it.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $pages i32) (local $at i32)
    (loop $again
      (local.set $pages (memory.grow (i32.const 16)))
      (if (i32.eq (local.get $pages) (i32.const -1)) (then unreachable))
      (local.set $at (i32.mul (local.get $pages) (i32.const 65536)))
      (i32.store (local.get $at) (i32.const 1))
      (br $again))))

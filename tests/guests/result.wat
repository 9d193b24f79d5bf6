;; Results that are too large, each in its own way.
(component
  (core module $m
    (memory (export "memory") 384)
    (global $next (mut i32) (i32.const 0))
    ;; A pointer and a length at address 0.
    (func $answer (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0))
      (i32.store (i32.const 4) (local.get 1))
      (i32.const 0))
    ;; 4 GiB that are not there.
    (func (export "lie") (result i32) (call $answer (i32.const 16) (i32.const -32)))
    ;; 20 MiB that are there: zeros, which are text.
    (func (export "text") (result i32) (call $answer (i32.const 16) (i32.const 20971520)))
    ;; The same as a list: each byte becomes a value of the host's.
    (func (export "bytes") (result i32) (call $answer (i32.const 16) (i32.const 20971520)))
    ;; A million strings, all of them the same MiB: a TiB.
    (func (export "shared") (result i32) (local $at i32)
      (local.set $at (i32.const 65536))
      (loop $again
        (i32.store (local.get $at) (i32.const 12582912))
        (i32.store offset=4 (local.get $at) (i32.const 1048576))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 8454144))))
      (call $answer (i32.const 65536) (i32.const 1048576)))
    ;; Eight million options of two bytes each: each of them two values in the host.
    (func (export "options") (result i32) (call $answer (i32.const 65536) (i32.const 8000000))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "lie") (result (list u8))
    (canon lift (core func $i "lie") (memory $memory)))
  (func (export "text") (result string)
    (canon lift (core func $i "text") (memory $memory)))
  (func (export "bytes") (result (list u8))
    (canon lift (core func $i "bytes") (memory $memory)))
  (func (export "shared") (result (list string))
    (canon lift (core func $i "shared") (memory $memory)))
  (func (export "list-of-options") (result (list (option u8)))
    (canon lift (core func $i "options") (memory $memory))))

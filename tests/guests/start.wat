;; A component whose instantiation never ends: the start function loops before any call.
(component
  (core module $m
    (func $start (loop $again (br $again)))
    (start $start)
    (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))

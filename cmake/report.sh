#!/bin/sh
# Calls nvcc. What ptxas says of the kernels stays beside the object, and so does their PTX: whoever
# wants to look at them (tests/native/kernels.py) need not compile them again.
last= object=
for word; do
  [ "$last" = -o ] && object=$word
  last=$word
done
rm -rf "$object.ptx" && mkdir -p "$object.ptx"
"$@" -Xptxas=-v --keep --keep-dir "$object.ptx" >"$object.log" 2>&1
status=$?
find "$object.ptx" -type f ! -name '*.ptx' -delete
grep -v -e 'ptxas info' -e '^    ' "$object.log" >&2
echo "status $status" >>"$object.log"
exit $status

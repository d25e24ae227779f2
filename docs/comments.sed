# Comments of the headers as Doxygen wants them.
/^\/\* -+.*\*\/$/d
/^\/\* -+/,/\*\//d
/^#pragma once/,$ s,^( *)// ,\1/// ,
1! s,^( *)/\* ,\1/** ,
s,^( *[^ /*].*[;{\,]) +/\* (.*\*/)$,\1 /**< \2,
s,^( *SCATCUDA_[A-Z_0-9]+ = [0-9]+) +/\* (.*\*/)$,\1 /**< \2,
# Doxygen would read an element of XML.
s,<g\, S x>,(g\, S x),g

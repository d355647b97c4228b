<?php

$map = [];
foreach (glob($argv[1] . '/*.php') as $file) {
    $map[basename($file, '.php')] = $file;
}
echo "<?php\n\nspl_autoload_register(fn (\$name) => require ", var_export($map, true), "[\$name]);\n";

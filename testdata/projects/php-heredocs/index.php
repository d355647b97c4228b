<?php

require "autoload.php";
echo (new Greeter())("php"), " ", posix_getuid(), " ", ini_get("memory_limit"), "\n";

<?php

final class Greeter
{
    public function __invoke(string $name): string
    {
        return "hello from $name";
    }
}

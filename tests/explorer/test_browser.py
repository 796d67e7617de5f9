"""The page in a browser: a slider is moved and the picture changes, a hole is drawn and filled.

Skipped where Chromium, its driver or selenium is missing.
"""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.conftest import require

pytestmark = pytest.mark.slow

COMMAND = "import sys; from sparsegmrf.cli import main; sys.exit(main(sys.argv[1:]))"
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,1100"),
)
PATIENCE = 180.0
"""Seconds in which the page is to answer, on a machine with other work."""


@pytest.fixture(scope="module")
def address():
    require("voila")
    require("ipympl")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("Chromium and its driver are not installed")
    pytest.importorskip("selenium", reason="selenium is not installed")
    command = [sys.executable, "-c", COMMAND, "explore", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline()).group()
        finally:
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=60)
    assert (server.returncode, said) == (0, "")


@pytest.fixture(scope="module")
def driver(address, tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        _load(driver, address)
        yield driver
    finally:
        driver.quit()


def _load(driver, address):
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.wait import WebDriverWait

    def is_loaded(driver):
        driver.get(address)
        return True

    # The address is told before it is served.
    WebDriverWait(driver, PATIENCE, 0.5, ignored_exceptions=[WebDriverException]).until(is_loaded)
    wait(driver, lambda: picture(driver))


def wait(driver, condition):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    waiting = WebDriverWait(driver, PATIENCE, 0.2, ignored_exceptions=[StaleElementReferenceException])
    return waiting.until(lambda _: condition())


def find(driver, selector):
    return [each for each in driver.find_elements("css selector", selector) if each.is_displayed()]


def picture(driver):
    """Return the address of the picture that is shown, if it has loaded; every picture has its own."""
    shown = [each for each in find(driver, "img.widget-image") if each.get_property("naturalWidth") > 100]
    return shown[-1].get_property("src") if shown else ""


def open_tab(driver, name):
    (tab,) = [each for each in find(driver, ".lm-TabBar-tab") if each.text == name]
    tab.click()


def test_slider_of_the_experiment_changes_the_picture(driver):
    from selenium.webdriver.common.keys import Keys

    open_tab(driver, "experiment")
    before = wait(driver, lambda: picture(driver))
    (readout,) = [each for each in find(driver, ".widget-readout") if each.text == "0.30"]
    find(driver, ".noUi-handle")[0].send_keys(Keys.ARROW_LEFT)
    wait(driver, lambda: readout.text == "0.29")
    wait(driver, lambda: picture(driver) not in ("", before))


def test_other_model_has_other_sliders_and_another_picture(driver):
    from selenium.webdriver.support.select import Select

    open_tab(driver, "model")
    before = wait(driver, lambda: picture(driver))
    assert "range" in [each.text for each in find(driver, ".widget-label")]
    Select(find(driver, "select")[0]).select_by_visible_text("CAR")
    wait(driver, lambda: picture(driver) not in ("", before))
    assert "rho" in [each.text for each in find(driver, ".widget-label")]
    assert "range" not in [each.text for each in find(driver, ".widget-label")]


def test_hole_is_drawn_with_the_mouse_and_filled(driver):
    from selenium.webdriver.common.action_chains import ActionChains

    open_tab(driver, "holes")
    wait(driver, lambda: find(driver, "canvas"))
    wait(driver, lambda: "no hole yet" in driver.page_source)
    assert not picture(driver)
    canvas = find(driver, "canvas")[-1]
    drawing = ActionChains(driver, duration=30).move_to_element_with_offset(canvas, -40, -30).click_and_hold()
    for step in ((40, 0), (40, 0), (0, 30), (0, 30), (-40, 0), (-40, 0), (0, -30)):
        drawing.move_by_offset(*step)
    drawing.perform()
    before = canvas.screenshot_as_png
    ActionChains(driver).release().perform()
    wait(driver, lambda: picture(driver))
    (said,) = wait(driver, lambda: re.findall(r"(\d+) pixels in holes: RMSE", driver.page_source))
    assert int(said) == pytest.approx(10 * 8, abs=20)  # a pixel of the image is 7.5 on the screen
    assert canvas.screenshot_as_png != before


def test_nothing_is_fetched_from_elsewhere(driver, address):
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    answered = [each["params"]["response"]["url"] for each in events if each["method"] == "Network.responseReceived"]
    own = [url for url in answered if url.startswith((address, "ws" + address.removeprefix("http")))]
    assert len(own) > 5
    elsewhere = {url for url in answered if url.startswith(("http", "ws"))} - set(own)
    assert not elsewhere

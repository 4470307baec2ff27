#include "codec/xml_reader.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

TEST(Xml, ElementsTextAndEntities) {
  const XmlElement root = parse_xml(
      "\xEF\xBB\xBF  <?xml version=\"1.0\"?>\n<!-- a > b -->\n"
      "<s3:Result xmlns=\"http://x/>\" a='\"'>\n <Key>a&amp;b &lt;&#228;&#x1F600;</Key><Empty/>"
      "<Key><![CDATA[<raw>]]></Key><N><M>1</M></N ></s3:Result>\n\n");
  EXPECT_EQ(root.name, "Result");
  ASSERT_EQ(root.children.size(), 4U);
  EXPECT_EQ(root.child_text("Key"), "a&b <\xC3\xA4\xF0\x9F\x98\x80");
  EXPECT_EQ(root.children[2].text, "<raw>");
  EXPECT_EQ(root.child_text("Empty"), "");
  EXPECT_EQ(root.child_text("absent"), "");
  EXPECT_EQ(root.child("N")->child_text("M"), "1");
}

TEST(Xml, WhatIsNotXmlIsRefused) {
  for (const char* text :
       {"", "   ", "text", "<a>", "<a></b>", "<a><b></a></b>", "<a/>x", "<a>&nope;</a>", "<a>&</a>",
        "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&#1114112;</a>", "<a b='></a>", "</a>", "<>", "< />",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<html><br></html>", "<a><!-- </a>"}) {
    EXPECT_THROW((void)parse_xml(text), Error) << text;
  }
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += "<a>";
  }
  EXPECT_THROW((void)parse_xml(deep), Error);
}

TEST(Xml, EscapedTextReadsBack) {
  const std::string text = "a<b>&c\"'";
  EXPECT_EQ(parse_xml("<k>" + xml_escape(text) + "</k>").text, text);
}

}  // namespace
}  // namespace salvor
